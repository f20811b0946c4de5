"""Isolated signs: one label per clip, balanced over classes where some are rare."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import Sampler
from transformers import EvalPrediction, Trainer

from slt_hf.errors import EvaluationError, RecipeError
from slt_hf.evaluation.sign_metrics import calibrate_unknown_threshold, rank_by_similarity, retrieval_metrics
from slt_hf.training.sign_trainer import SignTrainerMixin


class SignClassificationTrainer(SignTrainerMixin, Trainer):
    """Trains any model that gives `logits` (B, classes) for a clip.

    Args:
        class_balanced: draw every class equally often; the dataset must have `class_ids`.
    """

    def __init__(self, *args: Any, class_balanced: bool = False, **kwargs: Any) -> None:
        self.class_balanced = class_balanced
        super().__init__(*args, **kwargs)
        if class_balanced and self.frames_per_batch is not None:
            raise RecipeError(
                "class_balanced: expected false with frames_per_batch, which draws every clip once, found true; remove "
                "one of the two"
            )

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int] | None:
        dataset = self.train_dataset if train_dataset is None else train_dataset
        if self.class_balanced:
            seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
            return ClassBalancedSampler(dataset.class_ids, seed)
        return super()._get_train_sampler(train_dataset)

    def prediction_step(
        self, model: Any, inputs: dict[str, Any], prediction_loss_only: bool, ignore_keys: list[str] | None = None
    ) -> tuple[Any, Any, Any]:
        """Loss, logits (B, classes) and labels; everything else a model returns stays where it is."""
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad(), self.compute_loss_context_manager():
            outputs = model(**inputs)
        return outputs.loss, None if prediction_loss_only else outputs.logits.float(), inputs.get("labels")

    def calibrate(self, dev: Any, precision: float) -> None:
        """Store in the config the probability below which a sign counts as unknown.

        Args:
            dev: clips that were not trained on.
            precision: wanted share of right answers among those given; where dev cannot reach it, no threshold is set.
        """
        output = self.predict(dev, metric_key_prefix="dev")
        probabilities = softmax(np.asarray(output.predictions))
        correct = probabilities.argmax(1) == np.asarray(output.label_ids)
        try:
            found = calibrate_unknown_threshold(probabilities.max(1), correct, target_precision=precision)
        except EvaluationError:
            return
        self.accelerator.unwrap_model(self.model).config.unknown_threshold = found.threshold

    def dictionary_metrics(self, dictionary: Any, queries: Any) -> dict[str, float]:
        """DCG, MRR and R@k of finding a query's sign by its nearest neighbour among the dictionary's clips."""
        known, asked = self.embed(dictionary), self.embed(queries)
        names = np.asarray(dictionary.classes)
        ranked = rank_by_similarity(asked, known, list(names[dictionary.class_ids]))
        return retrieval_metrics(ranked, list(names[queries.class_ids]))

    def embed(self, dataset: Any) -> np.ndarray:
        """Embeddings (N, D) of every clip, in the dataset's order."""
        model, rows = self.accelerator.unwrap_model(self.model).eval(), []
        for inputs in self.get_test_dataloader(dataset):
            inputs = self._prepare_inputs(inputs)
            inputs.pop("labels", None)
            with torch.no_grad():
                rows.append(self.accelerator.gather_for_metrics(embeddings_of(model, inputs).float()).cpu())
        return torch.cat(rows).numpy()[: len(dataset)]


def embeddings_of(model: Any, inputs: dict[str, Any]) -> torch.Tensor:
    """What the head reads, (B, D): our models return it, of transformers' own it is what goes into `classifier`."""
    read: list[torch.Tensor] = []
    hook = model.classifier.register_forward_pre_hook(lambda _, arguments: read.append(arguments[0]))
    try:
        output = model(**inputs)
    finally:
        hook.remove()
    return output["embeddings"] if "embeddings" in output else read[0]


def softmax(logits: np.ndarray) -> np.ndarray:
    """(N, classes) -> probabilities."""
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    return shifted / shifted.sum(1, keepdims=True)


class ClassBalancedSampler(Sampler[int]):
    """As many draws as there are clips, every class equally often, every clip of a class equally often.

    Deterministic in seed and epoch, so that a resumed run sees the same order.
    """

    def __init__(self, class_ids: list[int], seed: int) -> None:
        self.members = [np.flatnonzero(np.asarray(class_ids) == c) for c in np.unique(class_ids)]
        self.size = len(class_ids)
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng((self.seed, self.epoch))
        rounds = -(-self.size // len(self.members))
        columns = [np.resize(rng.permutation(members), rounds) for members in self.members]
        order = np.stack(columns, 1)  # one clip of each class a round
        yield from rng.permuted(order, axis=1).reshape(-1)[: self.size].tolist()


def classification_metrics(prediction: EvalPrediction) -> dict[str, float]:
    """top-1 and top-5 over clips, and top-1 averaged over classes."""
    logits, labels = np.asarray(prediction.predictions), np.asarray(prediction.label_ids)
    ranked = np.argsort(-logits, axis=1, kind="stable")
    correct = ranked[:, 0] == labels
    return {
        "top1": float(correct.mean()),
        "top5": float((ranked[:, :5] == labels[:, None]).any(1).mean()),
        "top1_per_class": float(np.mean([correct[labels == c].mean() for c in np.unique(labels)])),
    }
