"""Configuration of the video encoder: an image-patch backbone, and how a clip of any length passes through it."""

from typing import Any, Literal

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec


@strict
class VideoEncoderConfig(PreTrainedConfig):
    """What a video encoder's weights are.

    Args:
        backbone_config: of a VideoMAE; any checkpoint of that type fits, such as MCG-NJU/videomae-base.
        window_frames: frames the backbone sees at a time; its own `num_frames` if left out.
        window_stride: frames from one window to the next; `window_frames` if left out. Steps that two windows see
            are averaged.
        pooling: how the patches of a step become one vector: `learned` weights them, starting from their `mean`.
    """

    model_type = "slt_video_encoder"
    base_config_key = "encoder_config"
    sub_configs_defaults = {"backbone_config": SubConfigSpec(config_class=AutoConfig, model_type="videomae")}

    backbone_config: Any = None  # a dict in files, a PreTrainedConfig once built
    window_frames: int | None = None
    window_stride: int | None = None
    pooling: Literal["learned", "mean"] = "learned"
    initializer_range: float = 0.02

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        if self.window_frames is None:
            self.window_frames = self.backbone_config.num_frames
        if self.window_stride is None:
            self.window_stride = self.window_frames
        self.validate_windows()

    def validate_windows(self):
        """Windows are whole tubelets, and leave no frame out.

        Raises:
            ValueError: if they do not.
        """
        size = self.backbone_config.tubelet_size
        window, stride = self.window_frames or 0, self.window_stride or 0
        if window % size or stride % size or not 0 < stride <= window:
            raise ValueError(
                f"window_frames and window_stride must be multiples of the backbone's tubelet_size {size}, the stride "
                f"at most a window, found {window} and {stride}; correct the config"
            )

    @property
    def hidden_size(self) -> int:
        """Width of a step."""
        return self.backbone_config.hidden_size
