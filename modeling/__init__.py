"""Models: model input -> logits. Importing registers them with transformers' Auto classes."""

from transformers import AutoConfig, AutoModel, AutoModelForCTC, AutoModelForSeq2SeqLM, AutoModelForVideoClassification

from .configuration_i3d import I3DConfig
from .configuration_pose_encoder import PoseEncoderConfig
from .configuration_sign_text_dual_encoder import SignTextDualEncoderConfig
from .configuration_sign_to_text import SignToTextConfig
from .configuration_video_encoder import VideoEncoderConfig
from .modeling_i3d import I3DForVideoClassification, I3DModel
from .modeling_pose_encoder import PoseEncoderForCTC, PoseEncoderForSignClassification, PoseEncoderModel
from .modeling_sign_text_dual_encoder import SignTextDualEncoderModel, info_nce, same_text
from .modeling_sign_to_text import SignToTextForConditionalGeneration
from .modeling_video_encoder import VideoEncoderModel

__all__ = [
    "I3DConfig",
    "I3DForVideoClassification",
    "I3DModel",
    "PoseEncoderConfig",
    "PoseEncoderForCTC",
    "PoseEncoderForSignClassification",
    "PoseEncoderModel",
    "SignTextDualEncoderConfig",
    "SignTextDualEncoderModel",
    "SignToTextConfig",
    "SignToTextForConditionalGeneration",
    "VideoEncoderConfig",
    "VideoEncoderModel",
    "info_nce",
    "same_text",
]

AutoConfig.register("slt_pose_encoder", PoseEncoderConfig)
AutoConfig.register("slt_sign_to_text", SignToTextConfig)
AutoConfig.register("slt_sign_text_dual_encoder", SignTextDualEncoderConfig)
AutoConfig.register("slt_video_encoder", VideoEncoderConfig)
AutoConfig.register("slt_i3d", I3DConfig)
AutoModel.register(PoseEncoderConfig, PoseEncoderModel)
AutoModel.register(VideoEncoderConfig, VideoEncoderModel)
AutoModel.register(I3DConfig, I3DModel)
AutoModelForVideoClassification.register(I3DConfig, I3DForVideoClassification)
AutoModelForVideoClassification.register(PoseEncoderConfig, PoseEncoderForSignClassification)
AutoModelForCTC.register(PoseEncoderConfig, PoseEncoderForCTC)
AutoModel.register(SignToTextConfig, SignToTextForConditionalGeneration)
AutoModelForSeq2SeqLM.register(SignToTextConfig, SignToTextForConditionalGeneration)
AutoModel.register(SignTextDualEncoderConfig, SignTextDualEncoderModel)

# With these, save_pretrained copies the code beside the weights and writes auto_map
PoseEncoderConfig.register_for_auto_class()
SignToTextConfig.register_for_auto_class()
SignTextDualEncoderConfig.register_for_auto_class()
VideoEncoderConfig.register_for_auto_class()
I3DConfig.register_for_auto_class()
I3DModel.register_for_auto_class("AutoModel")
I3DForVideoClassification.register_for_auto_class("AutoModelForVideoClassification")
VideoEncoderModel.register_for_auto_class("AutoModel")
PoseEncoderModel.register_for_auto_class("AutoModel")
PoseEncoderForSignClassification.register_for_auto_class("AutoModelForVideoClassification")
PoseEncoderForCTC.register_for_auto_class("AutoModelForCTC")
SignToTextForConditionalGeneration.register_for_auto_class("AutoModelForSeq2SeqLM")
SignTextDualEncoderModel.register_for_auto_class("AutoModel")
