"""Draw the synthetic signer's letters and signs: the pictures we look at, and the two that the documentation shows.

python scripts/draw_signs.py outputs/signs          # letters, digits, every sign of the lexicon with its movement
python scripts/draw_signs.py docs/images --docs     # the small sheets of the documentation
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from slt_hf.processing.landmarks import convert, get_layout
from slt_hf.processing.pose_files import PoseClip
from slt_hf.synthesis import LEXICON, Camera, Signer, handshape_points, synthesize_timed
from slt_hf.visualization import Box, draw_frame, draw_gallery, draw_grid

CAREFUL = Signer(precision_cm=0.05, looseness_deg=0.5, camera=Camera(yaw_deg=12, pitch_deg=6, fps=60))
FACING = Signer(precision_cm=0.05, looseness_deg=0.5)
SHOWN = (
    "MOTHER",
    "SISTER",
    "BOOK",
    "HOUSE",
    "LOVE",
    "HELP",
    "EAT",
    "THANK-YOU",
    "WHERE",
    "YESTERDAY",
    "TEACHER",
    "HAPPY",
)
SIGNS_PER_SHEET = 24


def signing_hand(clip: PoseClip) -> PoseClip:
    """The right hand alone."""
    points, confidence = convert(clip.points, clip.confidence, clip.layout, "hands_42")
    confidence = np.where(np.arange(42) < 21, 0.0, confidence)
    return PoseClip(points, confidence, "hands_42", clip.fps, clip.width, clip.height)


def letters_sheet(characters: str, size: int) -> Image.Image:
    """The handshape of every character in the middle of its hold."""
    clips = [(character, signing_hand(handshape_points(character, FACING))) for character in characters]
    return draw_gallery([(character, clip, clip.num_frames // 2) for character, clip in clips], columns=9, size=size)


def upper_body(clip: PoseClip) -> Box:
    """The square from above the head to the waist."""
    layout = get_layout(clip.layout)
    shoulders = clip.points[:, [layout.points.index("left_shoulder"), layout.points.index("right_shoulder")], :2]
    x, y = shoulders.mean(axis=(0, 1))
    half = float(np.linalg.norm(shoulders[:, 0] - shoulders[:, 1], axis=-1).mean())
    return x - half, y - 1.08 * half, x + half, y + 0.92 * half


def sign_strip(gloss: str, num_frames: int, size: int) -> Image.Image:
    """One sign from its first to its last keyframe."""
    clip, [(_, start_ms, end_ms)] = synthesize_timed([gloss], signer=CAREFUL)
    frames = np.clip(
        np.linspace(start_ms - 20, end_ms + 20, num_frames) * clip.fps / 1000, 0, clip.num_frames - 1
    ).astype(int)
    box = upper_body(clip)
    return draw_grid(
        [draw_frame(clip, int(t), size, box, gloss if i == 0 else " ") for i, t in enumerate(frames)], num_frames
    )


def main() -> None:
    """Write the sheets as PNG."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--docs", action="store_true", help="only the two small sheets of the documentation")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    size = 84 if arguments.docs else 150
    sheet = letters_sheet("abcdefghijklmnopqrstuvwxyz0123456789", size).quantize(64)
    sheet.save(arguments.folder / "letters.png", optimize=True)
    glosses = list(SHOWN if arguments.docs else LEXICON)
    for number, first in enumerate(range(0, len(glosses), SIGNS_PER_SHEET)):
        strips = [
            sign_strip(gloss, 4 if arguments.docs else 5, 96 if arguments.docs else 200)
            for gloss in glosses[first : first + SIGNS_PER_SHEET]
        ]
        name = "signs.png" if arguments.docs else f"signs-{number}.png"
        draw_grid(strips, 2 if arguments.docs else 3).quantize(64).save(arguments.folder / name, optimize=True)
    print(f"wrote the sheets to {arguments.folder}")


if __name__ == "__main__":
    main()
