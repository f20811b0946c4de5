"""The contrastive stage: chunked gradients are the whole batch's, and equal sentences do not repel."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import T5Config, T5EncoderModel

from slt_hf.modeling import PoseEncoderConfig, PoseEncoderModel, SignTextDualEncoderModel
from slt_hf.training.arguments import ContrastiveTrainingArguments
from slt_hf.training.contrastive_trainer import ContrastiveTrainer, retrieval_metrics


@pytest.fixture
def model() -> SignTextDualEncoderModel:
    torch.manual_seed(0)
    tiny = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    encoder = PoseEncoderModel(PoseEncoderConfig(num_landmarks=42, dropout=0.2, **tiny))
    text = T5EncoderModel(
        T5Config(vocab_size=20, d_model=32, d_kv=8, num_heads=4, d_ff=32, num_layers=1, dropout_rate=0)
    )
    dual = SignTextDualEncoderModel.from_encoder_text_pretrained(encoder, text, projection_dim=16)
    dual.text_model.requires_grad_(False)
    return dual


def batch(size: int = 6) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(2, 20, (size, 4), generator=generator)
    tokens[1] = tokens[0]  # the same sentence twice
    return {
        "pose_values": torch.rand(size, 10, 42, 3, generator=generator),
        "attention_mask": torch.ones(size, 10, dtype=torch.long),
        "input_ids": tokens,
        "text_attention_mask": torch.ones_like(tokens),
    }


def gradients(model: Any, folder: Path, chunk_size: int) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradients of one step from the same random state."""
    args = ContrastiveTrainingArguments(str(folder), chunk_size=chunk_size, use_cpu=True, report_to="none")
    trainer = ContrastiveTrainer(model=model, args=args)
    trainer.current_gradient_accumulation_steps = 1
    model.zero_grad()
    torch.manual_seed(7)
    loss = trainer.training_step(model, batch())
    return float(loss), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def test_one_chunk_gives_the_gradient_of_the_plain_loss(model: SignTextDualEncoderModel, tmp_path: Path) -> None:
    loss, chunked = gradients(model, tmp_path, chunk_size=6)
    model.zero_grad()
    torch.manual_seed(7)
    plain = model.train()(**batch()).loss
    plain.backward()
    assert loss == pytest.approx(float(plain.detach()), abs=1e-6)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            torch.testing.assert_close(chunked[name], parameter.grad, atol=1e-6, rtol=1e-4)


def test_chunk_size_changes_neither_loss_nor_gradient(model: SignTextDualEncoderModel, tmp_path: Path) -> None:
    for layer in model.modules():
        if isinstance(layer, torch.nn.Dropout):
            layer.p = 0.0  # each chunk draws its own dropout; without it the two must agree exactly
    (one, whole), (other, chunked) = (gradients(model, tmp_path, size) for size in (6, 2))
    assert one == pytest.approx(other, abs=1e-5)
    assert whole.keys() == chunked.keys() and "logit_scale" in whole
    for name, gradient in whole.items():
        torch.testing.assert_close(gradient, chunked[name], atol=1e-5, rtol=1e-4)


@pytest.mark.slow
def test_memory_is_that_of_a_chunk(repository: Path) -> None:
    """Eight times the clips in chunks of the same size: about as much memory; in one piece, several times as much."""
    cases = ["64x64", "512x64", "512x512"]
    command = [sys.executable, str(repository / "benchmarks" / "contrastive_memory.py"), "--frames", "16", "--cases"]
    lines = subprocess.run([*command, *cases], check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    small, chunked, whole = (json.loads(line)["megabytes"] for line in lines)
    assert chunked < 1.7 * small and whole > 3 * small


def test_evaluation_leaves_no_clip_out_although_training_drops_a_smaller_batch(
    model: SignTextDualEncoderModel, tmp_path: Path
) -> None:
    whole = batch(6)
    rows = [{name: values[row] for name, values in whole.items()} for row in range(6)]
    args = ContrastiveTrainingArguments(str(tmp_path), per_device_eval_batch_size=4, use_cpu=True, report_to="none")
    trainer = ContrastiveTrainer(model=model, args=args, eval_dataset=rows, compute_metrics=retrieval_metrics)
    assert args.dataloader_drop_last and len(trainer.predict(rows).label_ids) == 6
    assert "eval_sign_to_text_r1" in trainer.evaluate() and args.dataloader_drop_last


def test_frozen_text_encoder_gets_no_gradient(model: SignTextDualEncoderModel, tmp_path: Path) -> None:
    _, found = gradients(model, tmp_path, chunk_size=3)
    assert not any(name.startswith("text_model") for name in found)


def test_any_clip_of_the_same_sentence_counts_as_found() -> None:
    sign = np.eye(4)
    text = np.eye(4)[[1, 0, 2, 3]]  # clips 0 and 1 are confused with each other
    tokens = np.array([[5, 6], [5, 6], [7, 8], [9, 9]])
    alike = SimpleNamespace(predictions=(sign, text), label_ids=tokens)
    apart = SimpleNamespace(predictions=(sign, text), label_ids=np.arange(8).reshape(4, 2))
    assert retrieval_metrics(alike)["sign_to_text_r1"] == 1.0
    assert retrieval_metrics(apart)["sign_to_text_r1"] == 0.5
    assert retrieval_metrics(apart)["sign_to_text_median_rank"] == 2.5  # ranks 4, 4, 1, 1: ties count as worse
