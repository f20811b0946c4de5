"""Configuration of I3D: Inception-v1 inflated to three dimensions (arxiv:1705.07750)."""

from typing import Literal

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

# channels of the branches of an inception block: 1x1, then 1x1 -> 3x3 twice, then pooling -> 1x1
INCEPTION_CHANNELS = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}


@strict
class I3DConfig(PreTrainedConfig):
    """What an I3D's weights are.

    Args:
        num_channels: 3 reads pictures, 2 optical flow.
        num_frames: of the clips that it is trained on; any other number works, 8 frames more give one answer more to
            the average over time.
        image_size: side of the pictures it is trained on, pixels; any other from 32 up works.
        width_multiplier: of all channels; 1 is the published network, less is for tests and small data.
        dropout: before the classifier.
        batch_statistics: whether training normalises by the statistics of its batch, as the public code does; without,
            it keeps those that the checkpoint came with, which suits batches of a few clips: then neither batch mates
            nor the number of accumulated steps change a gradient.
        time_pooling: how the answers of all steps become one: their `mean`, as the authors of I3D score Kinetics, or
            the `max` of each class, as the public code of WLASL and ASL Citizen trains and scores its networks.
    """

    model_type = "slt_i3d"
    base_config_key = "encoder_config"

    num_channels: int = 3
    num_frames: int = 64
    image_size: int = 224
    width_multiplier: float | int = 1.0
    dropout: float | int = 0.5
    batch_norm_eps: float = 1e-3
    batch_norm_momentum: float = 0.01
    batch_statistics: bool = True
    time_pooling: Literal["mean", "max"] = "mean"

    def validate_architecture(self):
        """Called by `@strict` after construction.

        Raises:
            ValueError: if there is nothing to see, or no width.
        """
        if self.num_channels < 1 or self.width_multiplier <= 0:
            raise ValueError(
                f"num_channels must be at least 1 and width_multiplier above 0, found {self.num_channels} and "
                f"{self.width_multiplier}; correct the config"
            )

    def channels(self, published: int) -> int:
        """Channels of a layer that has so many in the published network."""
        return max(1, round(published * self.width_multiplier))

    @property
    def hidden_size(self) -> int:
        """Channels of the last block."""
        branches = INCEPTION_CHANNELS["Mixed_5c"]
        return sum(self.channels(branches[place]) for place in (0, 2, 4, 5))
