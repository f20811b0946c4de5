"""What crops of the hands bring beside poses: does the gate open, and are more letters read?

    python benchmarks/hand_crops.py --steps 300 --output results/hand_crops.json

Synthetic signers fingerspell single letters, which only the shape of a hand tells apart. Their hands are drawn as
pictures, and most frames of the poses lose the fingers, as detectors do where hands move fast or touch. The same model
with the same first weights learns three ways: from whole poses, from damaged ones, and from damaged ones with crops,
which are stored and read as those of shards are, by the collator and processor of every training.
Letters of other signers are then read; by the third also with its crops taken away. Drawings are not photographs: this
shows that the path works and that the gate moves where pictures know more than landmarks, not how much it brings on
recordings.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import nn
from transformers import T5Config

from slt_hf.data.hand_crops import stored_hands
from slt_hf.modeling import PoseEncoderConfig, SignToTextConfig, SignToTextForConditionalGeneration
from slt_hf.processing import PoseFeatureExtractor, PoseProcessor
from slt_hf.processing.hand_crops import with_hands
from slt_hf.processing.landmarks import get_layout
from slt_hf.processing.pose_clip import PoseClip
from slt_hf.synthesis import synthesize
from slt_hf.synthesis.lexicon import LETTER_PREFIX
from slt_hf.synthesis.signer import Signer
from slt_hf.training.collators import TranslationCollator
from slt_hf.training.word_tokenizer import train_word_tokenizer

LETTERS = "abcdefghijklmnopqrstuvwxyz"
LAYOUT = get_layout("signing_85")
HANDS = {side: list(LAYOUT.parts[f"{side}_hand"]) for side in ("left", "right")}
FPS, CROP, SHOULDERS = 12.5, 32, 64  # model's frames a second; pixels of a crop; pixels between drawn shoulders
RATE = 2e-3
# Crops learn through the gate alone. At the rate of the rest it opens so late that damage has been learned by heart.
GATE_RATE = 20 * RATE
WAYS = {"whole poses": (False, False), "damaged poses": (True, False), "damaged poses and crops": (True, True)}


class Row(NamedTuple):
    """One clip: poses whole and damaged, crops as a shard holds them, letter."""

    whole: PoseClip
    damaged: PoseClip
    hands: bytes
    letter: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--signers", type=int, default=12, help="of the training clips; each signs every letter")
    parser.add_argument("--test-signers", type=int, default=4)
    parser.add_argument("--damage", type=float, default=0.8, help="share of frames whose fingers are lost")
    parser.add_argument("--way", choices=list(WAYS), action="append", help="only this one; results of others are kept")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, help="JSON file of the results")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train = make_rows(range(options.signers), options.damage)
    test = make_rows(range(10_000, 10_000 + options.test_signers), options.damage)
    found: dict[str, Any] = {}
    if options.output and options.output.is_file():
        found = json.loads(options.output.read_text(encoding="utf-8"))["ways"]
    for way in options.way or WAYS:
        damaged, crops = WAYS[way]
        found[way] = run(train, test, damaged, crops, options.steps)
        print(way, found[way], flush=True)
    if options.output:
        named = ("steps", "signers", "test_signers", "damage", "threads")
        about = {name: getattr(options, name) for name in named}
        about |= {"train_clips": len(train), "test_clips": len(test), "machine": platform.machine()}
        about |= {"command": f"python {' '.join([os.path.relpath(sys.argv[0]), *sys.argv[1:]])}"}  # of the last run
        options.output.write_text(json.dumps({"about": about, "ways": found}, indent=2) + "\n")


def make_rows(seeds: range, damage: float) -> list[Row]:
    """Every letter by a signer of each seed."""
    return [make_row(place, seed, damage) for seed in seeds for place in range(len(LETTERS))]


def make_row(letter: int, seed: int, damage: float) -> Row:
    rng = np.random.default_rng((seed, letter))
    clip = synthesize([LETTER_PREFIX + LETTERS[letter].upper()], int(rng.integers(1 << 31)), Signer.random(rng))
    clip = scaled(as_layout(clip))
    lost = PoseClip(clip.points.copy(), clip.confidence.copy(), clip.layout, clip.fps, clip.width, clip.height)
    frames = rng.random(lost.num_frames) < damage
    for points in HANDS.values():
        lost.confidence[frames[:, None] & np.isin(np.arange(85), points[1:])] = 0  # the wrist stays
    return Row(clip, lost, stored_hands(with_hands(lost, drawn(clip)), CROP), LETTERS[letter])


def as_layout(clip: PoseClip) -> PoseClip:
    from slt_hf.processing.landmarks import convert

    points, confidence = convert(clip.points, clip.confidence, clip.layout, LAYOUT.name)
    return PoseClip(points[..., :2], confidence, LAYOUT.name, clip.fps, clip.width, clip.height)


def scaled(clip: PoseClip) -> PoseClip:
    """Small enough to draw fast, everything well inside the picture."""
    left, right = (clip.points[:, LAYOUT.points.index(f"{side}_shoulder")] for side in ("left", "right"))
    points = (clip.points - (left + right)[:, None] / 2) * SHOULDERS / np.nanmean(np.linalg.norm(left - right, axis=-1))
    side = 5 * SHOULDERS
    return PoseClip(points + side / 2, clip.confidence, clip.layout, clip.fps, side, side)


def drawn(clip: PoseClip) -> np.ndarray:
    """Hands as strokes of skin, fingers a little lighter or darker than their neighbours, (T, H, W, 3)."""
    edges = [(a, b) for a, b in LAYOUT.edges for points in HANDS.values() if a in points and b in points]
    frames = []
    for points in clip.points:
        picture = Image.new("RGB", (int(clip.width or 0), int(clip.height or 0)), (40, 60, 90))
        ink = ImageDraw.Draw(picture)
        for a, b in edges:
            shade = 150 + 20 * ((b - 12) % 21 // 4)
            ink.line([tuple(points[a]), tuple(points[b])], fill=(shade, shade - 40, shade - 70), width=4)
        frames.append(np.asarray(picture))
    return np.stack(frames)


def run(train: list[Row], test: list[Row], damaged: bool, crops: bool, steps: int) -> dict[str, float]:
    """Learn, then read; equal seeds give equal first weights and batches."""
    torch.manual_seed(0)
    tokenizer = train_word_tokenizer(list(LETTERS), min_count=1)
    model, started = make_model(tokenizer), time.process_time()
    with_crops, without = (collator(tokenizer, size) for size in (CROP, None))
    collate = with_crops if crops else without
    gate = model.hand_crops.gate
    rest = [weight for weight in model.parameters() if weight is not gate]
    optimizer = torch.optim.AdamW([{"params": rest}, {"params": [gate], "weight_decay": 0.0}], weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, [RATE, GATE_RATE], steps)
    order = np.random.default_rng(0)
    for _ in range(steps):
        rows = [train[place] for place in order.integers(len(train), size=16)]
        loss = model.train()(**collate(as_samples(rows, damaged))).loss
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    found = {"letters_read": round(accuracy(model, collate, test, damaged), 4)}
    if crops:
        found["letters_read_without_crops"] = round(accuracy(model, without, test, damaged), 4)
    return found | {
        "train_loss": round(loss.item(), 4),
        "gate": round(model.hand_crops.gate.tanh().item(), 4),
        "cpu_s": round(time.process_time() - started, 1),
    }


def make_model(tokenizer: Any) -> SignToTextForConditionalGeneration:
    encoder = PoseEncoderConfig(
        frame_encoder="shape", shape_hidden_size=96, hidden_size=64, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=96, fps=FPS,
    )  # fmt: skip
    text = T5Config(
        vocab_size=len(tokenizer), d_model=64, d_kv=16, num_heads=4, d_ff=96, num_layers=1, num_decoder_layers=1,
        dropout_rate=0.0, decoder_start_token_id=tokenizer.pad_token_id, pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    config = SignToTextConfig(encoder_config=encoder, text_config=text, text_encoder="skip", hand_crop_width=8)
    return SignToTextForConditionalGeneration(config)


def collator(tokenizer: Any, size: int | None) -> TranslationCollator:
    return TranslationCollator(PoseProcessor(PoseFeatureExtractor(fps=FPS, hand_crop_size=size), tokenizer))


def as_samples(rows: list[Row], damaged: bool) -> list[dict[str, Any]]:
    return [{"clip": row.damaged if damaged else row.whole, "hands": row.hands, "text": row.letter} for row in rows]


@torch.no_grad()
def accuracy(
    model: SignToTextForConditionalGeneration, collate: TranslationCollator, rows: list[Row], damaged: bool
) -> float:
    right = 0
    for first in range(0, len(rows), 26):
        batch = collate(as_samples(rows[first : first + 26], damaged))
        wanted = batch.pop("labels")[:, 0]
        right += int((model.eval().generate(**batch, max_new_tokens=1)[:, 1] == wanted).sum())
    return right / len(rows)


if __name__ == "__main__":
    main()
