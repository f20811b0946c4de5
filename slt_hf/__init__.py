"""slt_hf: sign language translation and recognition, native to the Hugging Face Hub."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Public name -> module that defines it. Imported on first use, so that `import slt_hf` loads no torch.
_EXPORTS = {
    "SignTranslator": "slt_hf.pipeline",
    "SignClassifier": "slt_hf.pipeline",
    "bundled_checkpoint": "slt_hf.pipeline",
    "load_dataset": "slt_hf.data",
}

__all__ = ["SignClassifier", "SignTranslator", "__version__", "bundled_checkpoint", "load_dataset"]

if TYPE_CHECKING:
    from slt_hf.data import load_dataset
    from slt_hf.pipeline import SignClassifier, SignTranslator, bundled_checkpoint


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'slt_hf' has no attribute {name!r}; public names: {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted(__all__)
