"""Isolated signs as videos from the shared real data, as manifests that the trainers read.

    python scripts/real_sign_videos.py --output outputs/real/videos

    signs/    28 signs of 25 kinds cut out of four videos in which WLASL clips were joined. Three signs come twice; it
              is the same recording each time, in another file. So there is no second signer of any sign, and what is
              measured here is that a model learns, not that it would know the sign of somebody else.
    letters/  letters A to Z of one-handed alphabets (task F1), the signing hand of the poses drawn as a video: real
              signing, and in dev that of people who are not in training, but drawings instead of pictures of them.
    strangers/  three signs of Mexican Sign Language by one more signer: none of those of `signs`, to be found unknown.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from slt_hf.data.manifest import Sample, write_manifest
from slt_hf.poses.formats import read_clip
from slt_hf.processing.pose_clip import PoseClip

from real_data import LETTERS_FOLDER, hands_only, shared_data, table  # isort: skip  (scripts run from their own folder)

JOINED_FOLDER = Path("continuous/wlasl_gloss_sequences/videos")
JOINED_FPS = 25
STRANGERS_FOLDER = Path("isolated/msl150")
# Frames at which each sign begins and ends, where the picture changes; black frames between the signs are left out.
CUTS: dict[str, list[tuple[str, int, int]]] = {
    "sample_12_02": [
        ("deaf", 0, 65), ("later", 66, 130), ("hat", 130, 187), ("accident", 187, 227), ("no", 227, 280),
        ("wrong", 280, 359), ("short", 360, 420), ("full", 420, 514), ("cool", 514, 545), ("can", 545, 590),
        ("jacket", 590, 639), ("bird", 639, 709),
    ],
    "sample_3_03": [("tall", 0, 53), ("medicine", 53, 114), ("drink", 114, 204)],
    "sample_6_08": [
        ("cool", 0, 31), ("book", 31, 132), ("help", 132, 190), ("before", 191, 242), ("like", 242, 333),
        ("thin", 333, 363),
    ],
    "sample_7_00": [
        ("change", 0, 40), ("yes", 40, 87), ("school", 87, 140), ("many", 140, 197), ("book", 197, 297),
        ("cheat", 297, 354), ("later", 354, 418),
    ],
}  # fmt: skip
PICTURE = 64  # pixels of a drawn letter
MARGIN = 1.15  # side of the picture in hand sizes
COLOURS = ["#ff5050", "#ffd040", "#60ff60", "#50c8ff", "#ff70ff"]  # thumb to little finger


def sign_samples(data: Path) -> Iterator[Sample]:
    """Every cut sign; of one that comes twice the second is `dev`."""
    seen: set[str] = set()
    for name, cuts in CUTS.items():
        for gloss, first, end in cuts:
            split = "dev" if gloss in seen else "train"
            seen.add(gloss)
            times: Any = {"start_ms": 1000 * first / JOINED_FPS, "end_ms": 1000 * end / JOINED_FPS}
            video = str((data / JOINED_FOLDER / f"{name}.mp4").resolve())
            yield Sample(id=f"{name}-{first}", video=video, gloss=gloss, split=split, source=name, **times)


def stranger_samples(data: Path) -> Iterator[Sample]:
    """Signs that no model here was taught."""
    with (data / STRANGERS_FOLDER / "videos.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            video = str((data / STRANGERS_FOLDER / row["path"]).resolve())
            yield Sample(id=row["id"], video=video, gloss=row["gloss"], split="dev", sign_language="mfs")


def letter_samples(data: Path, folder: Path) -> Iterator[Sample]:
    """Task F1, drawn: a video of each letter in `folder`."""
    for row in table(data / LETTERS_FOLDER):
        if row["letter"] and row["two_handed"] == "0":
            clip = hands_only(read_clip(data / LETTERS_FOLDER / row["path"]))
            draw_hand(signing_hand(clip, row["dominant_hand"] == "left"), folder / f"{row['id']}.mp4")
            names: Any = {"signer": row["sign_language"], "sign_language": row["sign_language"], "split": row["split"]}
            yield Sample(id=row["id"], video=f"{row['id']}.mp4", gloss=row["letter"], **names)


def signing_hand(clip: PoseClip, left: bool) -> PoseClip:
    """The hand that spells, a left one mirrored, in the frames in which it was found."""
    points = clip.points[:, :21] * (-1, 1, 1) if left else clip.points[:, 21:]
    confidence = clip.confidence[:, :21] if left else clip.confidence[:, 21:]
    found = (confidence > 0).any(1)
    return PoseClip(points[found].astype(np.float32), confidence[found], "hands_21", clip.fps)


def draw_hand(clip: PoseClip, path: Path) -> None:
    """A hand as a square video, a thick line a bone, each finger in its colour: always in the middle, one scale."""
    import av

    corners = np.array([(np.nanmin(frame, 0), np.nanmax(frame, 0)) for frame in clip.points[..., :2]])  # (T, 2, 2)
    middles, half = corners.mean(1), MARGIN * float(np.quantile((corners[:, 1] - corners[:, 0]).max(1), 0.9)) / 2
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=round(clip.fps), options={"crf": "12"})
        stream.width = stream.height = PICTURE
        stream.pix_fmt = "yuv420p"
        for points, middle in zip(clip.points[..., :2], middles, strict=True):
            picture = hand_picture((points - middle + half) * PICTURE / (2 * half))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def hand_picture(points: np.ndarray) -> np.ndarray:
    """A hand's 21 points in pixels (21, 2) on black, (H, W, 3)."""
    picture = Image.new("RGB", (PICTURE, PICTURE))
    ink = ImageDraw.Draw(picture)
    for finger, colour in enumerate(COLOURS):
        chain = [0, *range(1 + 4 * finger, 5 + 4 * finger)]  # wrist, then four points a finger, thumb first
        ink.line([tuple(map(float, points[place])) for place in chain], fill=colour, width=3, joint="curve")
    return np.asarray(picture)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the shared data folder")
    parser.add_argument("--output", type=Path, default=Path("outputs/real/videos"))
    arguments = parser.parse_args()
    data = shared_data(arguments.data)
    for name in ("signs", "letters", "strangers"):
        folder = arguments.output / name
        folder.mkdir(parents=True, exist_ok=True)
        made = {"signs": sign_samples, "strangers": stranger_samples}
        samples = list(made[name](data) if name in made else letter_samples(data, folder))
        write_manifest(samples, folder / "manifest.csv")
        print(f"{folder / 'manifest.csv'}: {len(samples)} clips")


if __name__ == "__main__":
    main()
