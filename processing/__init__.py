"""Processing: raw clip -> model input.

Importing this package stays light: `pose_files`, `landmarks`, `pose_transforms` and `pose_errors` need numpy alone,
and the processor classes (which load transformers, and with it torch) are imported on first use.

The Auto classes know our processors all the same: where transformers' Auto modules are loaded already, the classes are
registered now; else the moment those modules are loaded, by a finder on `sys.meta_path` that watches for their two
names. So `import slt_hf.processing` costs nothing, `AutoProcessor.from_pretrained` works after it, and where
transformers is not installed (`slt-hf[onnx]`) nothing happens.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .feature_extraction_pose import PoseFeatureExtractor
    from .feature_extraction_video import VideoFeatureExtractor
    from .pose_files import PoseClip, PoseWarning, read_pose, write_pose
    from .pose_transforms import PoseSettings, prepare_clip
    from .processing_pose import PoseProcessor
    from .processing_sign_video import SignVideoProcessor
    from .video_clip import VideoClip

_EXPORTS = {
    "PoseClip": "pose_files",
    "PoseWarning": "pose_files",
    "read_pose": "pose_files",
    "write_pose": "pose_files",
    "PoseSettings": "pose_transforms",
    "prepare_clip": "pose_transforms",
    "PoseFeatureExtractor": "feature_extraction_pose",
    "PoseProcessor": "processing_pose",
    "SignVideoProcessor": "processing_sign_video",
    "VideoClip": "video_clip",
    "VideoFeatureExtractor": "feature_extraction_video",
}
__all__ = [
    "PoseClip",
    "PoseFeatureExtractor",
    "PoseProcessor",
    "PoseSettings",
    "PoseWarning",
    "SignVideoProcessor",
    "VideoClip",
    "VideoFeatureExtractor",
    "prepare_clip",
    "read_pose",
    "write_pose",
]

# Module of an Auto class -> the Auto class and our classes that it should know.
_AUTO = {
    "transformers.models.auto.feature_extraction_auto": (
        "AutoFeatureExtractor",
        ("PoseFeatureExtractor", "VideoFeatureExtractor"),
    ),
    "transformers.models.auto.processing_auto": ("AutoProcessor", ("PoseProcessor", "SignVideoProcessor")),
}


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        if name == "SignVideoProcessor":  # its base first: loading that registers both, and needs both to be whole
            import_module(f"{__name__}.processing_pose")
        return getattr(import_module(f"{__name__}.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; public names: {', '.join(__all__)}")


def _register(module: ModuleType) -> None:
    auto_name, names = _AUTO[module.__name__]
    for name in names:
        ours = __getattr__(name)
        # Auto classes file processors under a config class; ours belong to no single one and are found by their name.
        getattr(module, auto_name).register(ours, ours, exist_ok=True)


class _Watcher(MetaPathFinder):
    """Registers our classes right after an Auto module of transformers has been executed."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target) if fullname in _AUTO else None
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_register(module: ModuleType) -> None:
            execute(module)
            _register(module)

        spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec


for _module_name in _AUTO:
    if _module_name in sys.modules:
        _register(sys.modules[_module_name])
if not all(name in sys.modules for name in _AUTO):
    sys.meta_path.insert(0, _Watcher())
