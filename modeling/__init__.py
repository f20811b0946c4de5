"""Models: model input -> logits. Importing registers them with transformers' Auto classes."""

from transformers import AutoConfig, AutoModel, AutoModelForCTC, AutoModelForSeq2SeqLM, AutoModelForVideoClassification

from .configuration_pose_encoder import PoseEncoderConfig
from .configuration_sign_text_dual_encoder import SignTextDualEncoderConfig
from .configuration_sign_to_text import SignToTextConfig
from .modeling_pose_encoder import PoseEncoderForCTC, PoseEncoderForSignClassification, PoseEncoderModel
from .modeling_sign_text_dual_encoder import SignTextDualEncoderModel, info_nce, same_text
from .modeling_sign_to_text import SignToTextForConditionalGeneration

__all__ = [
    "PoseEncoderConfig",
    "PoseEncoderForCTC",
    "PoseEncoderForSignClassification",
    "PoseEncoderModel",
    "SignTextDualEncoderConfig",
    "SignTextDualEncoderModel",
    "SignToTextConfig",
    "SignToTextForConditionalGeneration",
    "info_nce",
    "same_text",
]

AutoConfig.register("slt_pose_encoder", PoseEncoderConfig)
AutoConfig.register("slt_sign_to_text", SignToTextConfig)
AutoConfig.register("slt_sign_text_dual_encoder", SignTextDualEncoderConfig)
AutoModel.register(PoseEncoderConfig, PoseEncoderModel)
AutoModelForVideoClassification.register(PoseEncoderConfig, PoseEncoderForSignClassification)
AutoModelForCTC.register(PoseEncoderConfig, PoseEncoderForCTC)
AutoModel.register(SignToTextConfig, SignToTextForConditionalGeneration)
AutoModelForSeq2SeqLM.register(SignToTextConfig, SignToTextForConditionalGeneration)
AutoModel.register(SignTextDualEncoderConfig, SignTextDualEncoderModel)

# With these, save_pretrained copies the code beside the weights and writes auto_map
PoseEncoderConfig.register_for_auto_class()
SignToTextConfig.register_for_auto_class()
SignTextDualEncoderConfig.register_for_auto_class()
PoseEncoderModel.register_for_auto_class("AutoModel")
PoseEncoderForSignClassification.register_for_auto_class("AutoModelForVideoClassification")
PoseEncoderForCTC.register_for_auto_class("AutoModelForCTC")
SignToTextForConditionalGeneration.register_for_auto_class("AutoModelForSeq2SeqLM")
SignTextDualEncoderModel.register_for_auto_class("AutoModel")
