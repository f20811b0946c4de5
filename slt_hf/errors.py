"""Every error this package raises on purpose, below one root.

    SignDataError(ValueError)
    ├── PoseFileError       a pose file that cannot be read
    ├── LandmarkError       a layout that is unknown or does not fit
    ├── ClipError           no frames, an absurd frame rate, nobody to see, an impossible time range
    ├── VideoError          a video that cannot be read, or asks for more than its budget
    ├── ManifestError       a manifest row that contradicts itself
    ├── CorpusError         a corpus that is absent or laid out differently
    ├── PreparationError    a preparation run that cannot go on
    ├── CheckpointError     a checkpoint that cannot be loaded or understood
    ├── RecipeError         a recipe or option that is unknown or contradictory
    ├── EvaluationError     hypotheses and references that do not fit together
    ├── ExportError         a graph that fails its gate or cannot be run
    └── HubError            something the Hub refused

The first four travel with checkpoints, so they live in `processing/pose_errors.py`.
"""

from __future__ import annotations

from slt_hf.processing.pose_errors import ClipError, LandmarkError, PoseFileError, SignDataError, VideoError

__all__ = [
    "CheckpointError",
    "ClipError",
    "CorpusError",
    "EvaluationError",
    "ExportError",
    "HubError",
    "LandmarkError",
    "ManifestError",
    "PoseFileError",
    "PreparationError",
    "RecipeError",
    "SignDataError",
    "VideoError",
]


class ManifestError(SignDataError):
    """A manifest that cannot be read or contradicts itself; names file, row and column."""


class CorpusError(SignDataError):
    """A corpus that is absent or laid out differently; says where to ask for it and how the folder must look."""


class PreparationError(SignDataError):
    """A preparation run that cannot go on."""


class CheckpointError(SignDataError):
    """A checkpoint that cannot be loaded, or that no processor goes with."""


class RecipeError(SignDataError):
    """A recipe or option that is unknown or contradictory."""


class EvaluationError(SignDataError):
    """Hypotheses and references that do not fit together."""


class ExportError(SignDataError):
    """A graph that fails its parity gate, is damaged or cannot be run here."""


class HubError(SignDataError):
    """Something the Hub refused."""
