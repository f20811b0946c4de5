"""Weights from a checkpoint, whole or not at all."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedModel

from slt_hf.errors import CheckpointError


def load_checkpoint(cls: type[PreTrainedModel], name: str, fresh: tuple[str, ...] = (), **kwargs: Any) -> Any:
    """`from_pretrained` that refuses a checkpoint with weights missing, instead of making some up.

    Args:
        fresh: prefixes of weights that may be new: the head of a model that is trained for another task.

    Raises:
        CheckpointError: if the checkpoint is absent or does not hold every other weight of `cls`.
    """
    try:
        model, info = cls.from_pretrained(name, output_loading_info=True, **kwargs)
    except OSError as error:
        raise CheckpointError(f"{name}: expected a checkpoint folder or Hub id, but {error}; check the name") from error
    missing = [key for key in sorted(info["missing_keys"]) if not key.startswith(fresh or ("\0",))]
    if missing:
        raise CheckpointError(
            f"{name}: expected every weight of {cls.__name__}, found {len(missing)} missing, such as {missing[0]}; "
            "use a checkpoint of this class"
        )
    return model
