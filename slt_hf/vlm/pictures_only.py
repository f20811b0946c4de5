"""Processors of vision-language models without their part for videos.

Qwen2.5-VL, LLaVA-OneVision and others name a video processor, which exists only with torchvision, whose wheel does not
load beside a CPU build of torch. A clip is shown as numbered pictures here, so theirs is not missed.
"""

from __future__ import annotations

from inspect import signature
from typing import Any

VIDEOS = "video_processor"


def processor_class(model_type: str) -> Any:
    """What makes pictures and text into input of a model: transformers' class for it, or where that wants a part that
    does not exist here, a subclass that does not.
    """
    import transformers
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES
    from transformers.utils import is_torchvision_available

    name = PROCESSOR_MAPPING_NAMES.get(model_type)
    if name is None or is_torchvision_available():
        return transformers.AutoProcessor
    known = getattr(transformers, name)
    of_videos = signature(known.__init__).parameters.get(VIDEOS)
    optional = of_videos is not None and of_videos.default is None  # Gemma4's is not: its own error says what it needs
    return pictures_only(known) if optional else transformers.AutoProcessor


def pictures_only(known: Any) -> Any:
    """A processor class without its video processor, under the same name, so that what it saves loads with either."""

    def get_attributes(cls: Any) -> list[str]:
        return [name for name in known.get_attributes() if name != VIDEOS]

    return type(known.__name__, (known,), {"get_attributes": classmethod(get_attributes), "__doc__": known.__doc__})
