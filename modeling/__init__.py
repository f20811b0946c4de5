"""Models: model input -> logits. Importing registers them with transformers' Auto classes."""

from transformers import AutoConfig, AutoModel, AutoModelForCTC, AutoModelForSeq2SeqLM, AutoModelForVideoClassification

from .configuration_pose_encoder import PoseEncoderConfig
from .configuration_sign_to_text import SignToTextConfig
from .modeling_pose_encoder import PoseEncoderForCTC, PoseEncoderForSignClassification, PoseEncoderModel
from .modeling_sign_to_text import SignToTextForConditionalGeneration

__all__ = [
    "PoseEncoderConfig",
    "PoseEncoderForCTC",
    "PoseEncoderForSignClassification",
    "PoseEncoderModel",
    "SignToTextConfig",
    "SignToTextForConditionalGeneration",
]

# Auto class -> (config, model). The first entry of a model is the Auto class its saved checkpoints name; see auto_map.
AutoConfig.register("slt_pose_encoder", PoseEncoderConfig)
AutoConfig.register("slt_sign_to_text", SignToTextConfig)
AutoModel.register(PoseEncoderConfig, PoseEncoderModel)
AutoModelForVideoClassification.register(PoseEncoderConfig, PoseEncoderForSignClassification)
AutoModelForCTC.register(PoseEncoderConfig, PoseEncoderForCTC)
AutoModel.register(SignToTextConfig, SignToTextForConditionalGeneration)
AutoModelForSeq2SeqLM.register(SignToTextConfig, SignToTextForConditionalGeneration)

# With these, save_pretrained copies the code beside the weights and writes auto_map
PoseEncoderConfig.register_for_auto_class()
SignToTextConfig.register_for_auto_class()
PoseEncoderModel.register_for_auto_class("AutoModel")
PoseEncoderForSignClassification.register_for_auto_class("AutoModelForVideoClassification")
PoseEncoderForCTC.register_for_auto_class("AutoModelForCTC")
SignToTextForConditionalGeneration.register_for_auto_class("AutoModelForSeq2SeqLM")
