"""Real videos are learned through the scripts that users run: translation to chrF 100, isolated signs to the last clip."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from test_training_scripts import run as run_script

pytest.importorskip("torch")

from slt_hf import SignTranslator  # noqa: E402
from slt_hf.data.manifest import Sample, write_manifest  # noqa: E402
from slt_hf.evaluation.text_metrics import score_text  # noqa: E402
from slt_hf.training.word_tokenizer import train_word_tokenizer  # noqa: E402

# three of one signer in one room, so that the signing must be read
SENTENCES = ("_20g7MG8K1U_13-8", "_20g7MG8K1U_10-8", "_20g7MG8K1U_17-8", "_15CDIexNDM_4-5")
VIDEOMAE = {
    "model_type": "videomae", "image_size": 32, "patch_size": 8, "num_frames": 16, "hidden_size": 64,
    "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128,
}  # fmt: skip
T5 = {"model_type": "t5", "d_model": 64, "d_kv": 16, "num_heads": 4, "d_ff": 128, "num_layers": 1, "dropout_rate": 0.0}
SETTINGS: dict[str, Any] = {
    "layout": None, "per_device_train_batch_size": 4, "lr_scheduler_type": "constant_with_warmup", "warmup_steps": 20,
    "use_cpu": True, "save_strategy": "no", "encoder_config": VIDEOMAE,
}  # fmt: skip


def write_split_twice(samples: list[Sample], folder: Path) -> None:
    """A manifest in which what is trained on also chooses the checkpoint: here the question is whether it is learned."""
    from dataclasses import replace

    rows = [replace(sample, id=f"{sample.id}-{split}", split=split) for split in ("train", "dev") for sample in samples]
    write_manifest(rows, folder / "manifest.csv")


@pytest.mark.slow
def test_four_real_clips_are_translated_to_chrf_100(shared_data: Path, repository: Path, tmp_path: Path) -> None:
    source = shared_data / "continuous" / "how2sign_clips"
    rows = {row["id"].removesuffix("-rgb_front"): row for row in csv.DictReader((source / "manifest.csv").open())}
    chosen = [rows[name] for name in SENTENCES]
    write_split_twice([Sample(id=r["id"], video=str(source / r["path"]), text=r["text"]) for r in chosen], tmp_path)
    train_word_tokenizer([r["text"] for r in chosen], min_count=1).save_pretrained(tmp_path / "tokenizer")
    folder = run_script(
        "train_translation.py", repository, tmp_path, tmp_path / "run", **SETTINGS, text_config=T5, fps=8.0,
        max_steps=300, eval_steps=300, learning_rate=0.003,
    )  # fmt: skip
    translator = SignTranslator.from_pretrained(folder, device="cpu")
    found = [answer.text for answer in translator([source / r["path"] for r in chosen])]
    assert score_text(found, [r["text"] for r in chosen], names=("chrf",))["chrf"] == 100, found
