"""Real videos are learned through the scripts that users run: sentences to chrF 100, isolated signs to the last."""

from __future__ import annotations

import csv
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from test_training_scripts import run as run_script

pytest.importorskip("torch")

from slt_hf import SignClassifier, SignTranslator  # noqa: E402
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
    """A manifest whose dev split is its training split: the question here is whether it is learned."""
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


@pytest.mark.slow
def test_real_isolated_signs_are_learned_and_known_again_in_another_file(
    shared_data: Path, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """25 signs, one recording each; three of these come again in another file, joined and compressed anew.

    There are no real videos of a second signer of any of them: this says that a classifier learns, not what it would
    know of strangers.
    """
    monkeypatch.syspath_prepend(str(repository / "scripts"))
    samples = list(import_module("real_sign_videos").sign_samples(shared_data))
    write_manifest(samples, tmp_path / "manifest.csv")
    folder = run_script(
        "train_isolated_signs.py", repository, tmp_path, tmp_path / "run", tokenizer=None, target="gloss",
        **SETTINGS | {"per_device_train_batch_size": 25, "encoder_config": {**VIDEOMAE, "num_frames": 8}},
        max_steps=150, eval_strategy="no", learning_rate=0.002, variants_per_clip=4,
    )  # fmt: skip
    classifier = SignClassifier.from_pretrained(folder, device="cpu")
    for split, clips in (("train", 25), ("dev", 3)):
        own = [sample for sample in samples if sample.split == split]
        answers = [classifier(sample.video, start_ms=sample.start_ms, end_ms=sample.end_ms) for sample in own]
        assert [answer.label for answer in answers] == [sample.gloss for sample in own]
        assert len(own) == clips
