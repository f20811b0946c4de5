"""A checkpoint's folder: find it, see what it is, and load it whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slt_hf.errors import CheckpointError

if TYPE_CHECKING:
    import torch

BUNDLED = Path(__file__).parent / "checkpoints" / "demo"


def bundled_checkpoint() -> Path:
    """Folder of the checkpoint that ships with the package: it translates what the synthetic signer signs.

    Raises:
        CheckpointError: if this installation came without it.
    """
    if not (BUNDLED / "config.json").is_file():
        raise CheckpointError(
            f"expected the bundled checkpoint in {BUNDLED}, found none; reinstall slt_hf, or make it with "
            "scripts/train_bundled_checkpoint.py"
        )
    return BUNDLED


def find_checkpoint(repo_or_dir: str | os.PathLike | None = None, revision: str | None = None) -> Path:
    """The local folder of a checkpoint: the bundled one, a folder given, or a Hub repository fetched first.

    Raises:
        CheckpointError: if a path is given that holds no checkpoint.
        HubError: if the Hub does not have it.
    """
    if repo_or_dir is None:
        return bundled_checkpoint()
    folder = Path(repo_or_dir)
    if folder.is_dir():
        return folder
    if folder.exists() or not looks_like_repo(str(repo_or_dir)):
        raise CheckpointError(
            f"expected a checkpoint's folder or a Hub repository such as organisation/name, found {repo_or_dir}"
            f"{' (a file)' if folder.is_file() else ' (no such folder)'}; give the folder that save_pretrained wrote"
        )
    from slt_hf.hub import download_checkpoint

    return download_checkpoint(str(repo_or_dir), revision)


def looks_like_repo(name: str) -> bool:
    """organisation/name, and not a path."""
    parts = name.split("/")
    return len(parts) == 2 and all(parts) and not name.startswith((".", "~")) and "\\" not in name


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """A JSON object of the checkpoint.

    Raises:
        CheckpointError: if the file is absent or damaged.
    """
    path = folder / name
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        named = sorted(entry.name for entry in folder.iterdir())[:8] if folder.is_dir() else ["no such folder"]
        found = ", ".join(named) or "an empty folder"
        raise CheckpointError(
            f"{folder}: expected {name}, found {found}; give the folder that save_pretrained wrote"
        ) from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(
            f"{path}: expected JSON, found damage ({error}); fetch or save the checkpoint again"
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{path}: expected a JSON object, found {type(content).__name__}; save the checkpoint again"
        )
    return content


def is_export(folder: Path) -> bool:
    """Graphs for ONNX Runtime (`slt-hf export` wrote it), rather than weights for PyTorch."""
    return (folder / "export.json").is_file()


def is_vlm_folder(folder: Path) -> bool:
    """What `scripts/train_vlm_sft.py` wrote: a vision-language model or its adapters, and the question it is asked."""
    return (folder / "slt_vlm.json").is_file()


def read_processor(folder: Path) -> dict[str, Any]:
    """The processor's settings: with a tokenizer it saves `processor_config.json`, without one (isolated signs)
    `preprocessor_config.json`, as transformers has it.

    Raises:
        CheckpointError: if neither is there.
    """
    alone = folder / "preprocessor_config.json"
    return read_json(folder, alone.name if alone.is_file() else "processor_config.json")


def architecture_of(folder: Path, known: tuple[str, ...]) -> str:
    """The model class that the checkpoint names.

    Raises:
        CheckpointError: if it is none of the known ones.
    """
    named = read_json(folder, "config.json").get("architectures") or ["nothing"]
    if named[0] not in known:
        raise CheckpointError(
            f"{folder / 'config.json'}: expected one of the architectures {', '.join(known)}, found {named[0]}; "
            "give a checkpoint of this package, or use SignClassifier for classifiers and SignTranslator for the others"
        )
    return named[0]


def load_model(cls: Any, folder: Path, device: str | None = None, dtype: str | torch.dtype | None = None) -> Any:
    """Load weights strictly, from safetensors only.

    Args:
        dtype: "auto" or None takes the checkpoint's own.

    Raises:
        CheckpointError: if a weight is missing, unexpected or of another shape, or the file is damaged.
    """
    from safetensors import SafetensorError

    from slt_hf.device import pick_device

    try:
        with without_progress_bars():
            model, report = cls.from_pretrained(
                folder, dtype=dtype or "auto", use_safetensors=True, local_files_only=True, output_loading_info=True
            )
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{folder}: loading {cls.__name__} failed: {reason}; fetch or save it again") from error
    check_loaded(folder, cls.__name__, report)
    return model.to(pick_device(device)).eval()


@contextmanager
def without_progress_bars() -> Iterator[None]:
    """No bar for reading a local file: it would stand among a command's output."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def check_loaded(folder: Path, name: str, report: dict[str, Any]) -> None:
    """Every weight came from the file, and every weight of the file was used: nothing is random."""
    wrong = {kind: sorted(map(str, report[kind])) for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")}
    wrong = {kind: keys for kind, keys in wrong.items() if keys}
    if wrong:
        told = "; ".join(f"{len(k)} {kind.replace('_', ' ')} such as {', '.join(k[:3])}" for kind, k in wrong.items())
        raise CheckpointError(f"{folder}: the weights do not fit {name}: {told}; take weights and config of one save")


def load_processor(folder: Path) -> Any:
    """The processor that the checkpoint was trained with.

    Raises:
        CheckpointError: if there is none, or it cannot be understood.
    """
    if is_export(folder):
        from slt_hf.export.processor import ExportProcessor

        return ExportProcessor(folder)
    settings = read_processor(folder)
    alone = "feature_extractor_type" in settings
    kind = (settings if alone else settings.get("feature_extractor", {})).get("feature_extractor_type")
    from slt_hf.processing import PoseFeatureExtractor, PoseProcessor, SignVideoProcessor, VideoFeatureExtractor

    if kind == "VideoFeatureExtractor":
        cls: Any = VideoFeatureExtractor if alone else SignVideoProcessor
    else:
        cls = PoseFeatureExtractor if alone else PoseProcessor
    try:
        return cls.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{folder}: loading the processor failed: {reason}; save it again") from error
