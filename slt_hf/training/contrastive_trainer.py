"""Contrastive stage: a clip and its sentence attract, all others repel (InfoNCE, arxiv:2103.00020), at any batch size.

GradCache (arxiv:2101.06983): embeddings of all chunks are computed without a graph, the loss gives the gradient of
each embedding, then each chunk is run again with its graph. Memory is that of one chunk; the gradient is that of the
whole batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from transformers import EvalPrediction, Trainer

from slt_hf.errors import RecipeError
from slt_hf.modeling.modeling_sign_text_dual_encoder import LARGEST_SCALE, info_nce, same_text
from slt_hf.training.sign_trainer import SignTrainerMixin


class ContrastiveTrainer(SignTrainerMixin, Trainer):
    """Trains a `SignTextDualEncoderModel`; the loss runs over the clips of all ranks."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # a chunk's gradient is put together outside of a sharded model's forward pass, and a batch has many backwards
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            found = "FSDP" if self.is_fsdp_enabled else "DeepSpeed"
            raise RecipeError(
                f"expected whole weights for the contrastive stage, found {found}; use scripts/accelerate/ddp.yaml"
            )
        if self.frames_per_batch is not None:
            raise RecipeError(
                "frames_per_batch: expected none in the contrastive stage, where each clip is compared with equally "
                f"many others, found {self.frames_per_batch}; remove it: chunk_size bounds the memory"
            )

    @property
    def dual_encoder(self) -> Any:
        return self.accelerator.unwrap_model(self.model)

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        """One batch, chunk by chunk; returns the loss over all ranks' clips."""
        model.train()
        inputs = self._prepare_inputs(inputs)
        chunks = list(split_batch(inputs, self.args.chunk_size))
        states, sign, text = [], [], []
        with torch.no_grad():
            for chunk in chunks:
                states.append(random_states())
                with self.compute_loss_context_manager():
                    outputs = model(**chunk)
                sign.append(outputs.sign_embeds)
                text.append(outputs.text_embeds)
        loss, gradients = self.loss_and_gradients(torch.cat(sign), torch.cat(text), inputs)
        start = 0
        for number, (chunk, state) in enumerate(zip(chunks, states, strict=True)):
            last = number == len(chunks) - 1
            with nullcontext() if last else self.accelerator.no_sync(model=model), replayed(state):
                with self.compute_loss_context_manager():
                    outputs = model(**chunk)
                rows = slice(start, start + len(outputs.sign_embeds))
                start = rows.stop
                surrogate = (outputs.sign_embeds.float() * gradients["sign"][rows]).sum()
                surrogate = surrogate + (outputs.text_embeds.float() * gradients["text"][rows]).sum()
                if last:  # the temperature's gradient is the whole batch's, added once
                    surrogate = surrogate + self.dual_encoder.logit_scale * gradients["logit_scale"]
                self.accelerator.backward(surrogate / self.current_gradient_accumulation_steps)
        return loss / self.current_gradient_accumulation_steps

    def loss_and_gradients(
        self, sign: torch.Tensor, text: torch.Tensor, inputs: dict[str, Any]
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Loss over all ranks' clips, and its gradient with respect to this rank's embeddings and the temperature.

        DDP averages gradients over ranks, and each rank holds the gradient of its own rows of one common loss: they
        are multiplied by the number of ranks. The temperature's gradient is the same on every rank already.
        """
        world, rank = self.accelerator.num_processes, self.accelerator.process_index
        scale = self.dual_encoder.logit_scale.detach().float().requires_grad_()
        all_sign = self.accelerator.gather(sign.float()).requires_grad_()
        all_text = self.accelerator.gather(text.float()).requires_grad_()
        tokens = inputs["input_ids"].masked_fill(inputs["text_attention_mask"] == 0, -1)
        tokens = self.accelerator.pad_across_processes(tokens, dim=1, pad_index=-1)
        duplicates = same_text(self.accelerator.gather(tokens))
        with torch.enable_grad():
            loss = info_nce(similarity(all_sign, all_text, scale), duplicates)
            d_sign, d_text, d_scale = torch.autograd.grad(loss, (all_sign, all_text, scale))
        mine = slice(rank * len(sign), (rank + 1) * len(sign))
        return loss.detach(), {"sign": d_sign[mine] * world, "text": d_text[mine] * world, "logit_scale": d_scale}

    def prediction_step(
        self, model: Any, inputs: dict[str, Any], prediction_loss_only: bool, ignore_keys: list[str] | None = None
    ) -> tuple[torch.Tensor, Any, Any]:
        """Loss of one batch, its embeddings (B, D) twice, and its tokens, which tell equal texts of the whole split."""
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad(), self.compute_loss_context_manager():
            outputs = model(**inputs)
        tokens = inputs["input_ids"].masked_fill(inputs["text_attention_mask"] == 0, -100)
        return outputs.loss, (outputs.sign_embeds.float(), outputs.text_embeds.float()), tokens


def similarity(sign: torch.Tensor, text: torch.Tensor, logit_scale: torch.Tensor) -> torch.Tensor:
    """The model's own: cosine over temperature, (B, P), (N, P) -> (B, N)."""
    return logit_scale.exp().clamp(max=LARGEST_SCALE) * sign @ text.T


def retrieval_metrics(prediction: EvalPrediction, at: tuple[int, ...] = (1, 5, 10)) -> dict[str, float]:
    """R@k both ways, and the median rank; any clip of the same sentence counts as found."""
    sign, text = (np.asarray(part, np.float64) for part in prediction.predictions)
    _, groups = np.unique(np.asarray(prediction.label_ids), axis=0, return_inverse=True)
    groups = groups.reshape(-1)
    metrics = {}
    for name, similarity in (("sign_to_text", sign @ text.T), ("text_to_sign", text @ sign.T)):
        best = np.where(groups[:, None] == groups[None], similarity, -np.inf).max(1)
        ranks = (np.where(groups[:, None] == groups[None], -np.inf, similarity) >= best[:, None]).sum(1)
        metrics.update({f"{name}_r{k}": float((ranks < k).mean()) for k in at})
        metrics[f"{name}_median_rank"] = float(np.median(ranks) + 1)
    return metrics


def split_batch(inputs: dict[str, Any], size: int) -> Iterator[dict[str, Any]]:
    """The batch in pieces of at most `size` clips."""
    total = len(next(iter(inputs.values())))
    for start in range(0, total, size):
        yield {name: value[start : start + size] for name, value in inputs.items()}


def random_states() -> tuple[torch.Tensor, list[torch.Tensor]]:
    """State of the generators that dropout draws from."""
    return torch.get_rng_state(), torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []


@contextmanager
def replayed(state: tuple[torch.Tensor, list[torch.Tensor]]) -> Iterator[None]:
    """Inside, dropout draws what it drew when `state` was taken; outside, nothing has happened."""
    with torch.random.fork_rng(devices=range(len(state[1]))):
        torch.set_rng_state(state[0])
        if state[1]:
            torch.cuda.set_rng_state_all(state[1])
        yield
