"""Checkpoints small enough to make in a test: real classes, random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SIZES: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
    "part_hidden_size": 8, "graph_hidden_size": 8, "point_hidden_size": 4,
}  # fmt: skip
WORDS = [f"word{number}" for number in range(40)]


def tiny_tokenizer() -> Any:
    """One token a word; <pad> 0, </s> 1, <unk> 2."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {
        token: index for index, token in enumerate(["<pad>", "</s>", "<unk>", *(f"▁{word}" for word in WORDS)])
    }
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


def tiny_processor() -> Any:
    from slt_hf.processing.feature_extraction_pose import PoseFeatureExtractor
    from slt_hf.processing.processing_pose import PoseProcessor

    extractor = PoseFeatureExtractor(provenance={"extractor": "synthetic", "version": "1"})
    return PoseProcessor(extractor, tiny_tokenizer())


def save_translation(folder: Path, seed: int = 0) -> Path:
    """A sign-to-text checkpoint with its processor."""
    import torch
    from transformers import T5Config

    from slt_hf.modeling import PoseEncoderConfig, SignToTextConfig, SignToTextForConditionalGeneration

    torch.manual_seed(seed)
    text = T5Config(
        vocab_size=3 + len(WORDS), d_model=32, d_kv=8, num_heads=2, d_ff=32, num_layers=1, num_decoder_layers=1,
        decoder_start_token_id=0, initializer_factor=3.0,  # so that outputs differ from clip to clip
    )  # fmt: skip
    encoder = PoseEncoderConfig(**SIZES)
    config = SignToTextConfig(encoder_config=encoder.to_dict(), text_config=text.to_dict(), text_encoder="skip")
    return save(SignToTextForConditionalGeneration(config), folder)


def save_recognition(folder: Path, seed: int = 0) -> Path:
    """A CTC checkpoint over the same words; blank is <pad>."""
    import torch

    from slt_hf.modeling import PoseEncoderConfig, PoseEncoderForCTC

    torch.manual_seed(seed)
    return save(PoseEncoderForCTC(PoseEncoderConfig(**SIZES, vocab_size=3 + len(WORDS), pad_token_id=0)), folder)


def save_classification(folder: Path, seed: int = 0, **config: Any) -> Path:
    """A classifier of isolated signs, named as the words."""
    import torch

    from slt_hf.modeling import PoseEncoderConfig, PoseEncoderForSignClassification

    torch.manual_seed(seed)
    labels = {index: word.upper() for index, word in enumerate(WORDS)}
    return save(PoseEncoderForSignClassification(PoseEncoderConfig(**SIZES, id2label=labels, **config)), folder)


def save(model: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    tiny_processor().save_pretrained(folder)
    return folder


VIDEOMAE: dict[str, Any] = {
    "image_size": 16, "patch_size": 8, "num_frames": 8, "hidden_size": 16, "num_hidden_layers": 2,
    "num_attention_heads": 2, "intermediate_size": 16,
}  # fmt: skip


def save_video_translation(folder: Path, seed: int = 0) -> Path:
    """A sign-to-text checkpoint that sees frames through a VideoMAE, with its processor."""
    import torch
    from transformers import T5Config

    from slt_hf.modeling import SignToTextConfig, SignToTextForConditionalGeneration
    from slt_hf.processing import SignVideoProcessor, VideoFeatureExtractor

    torch.manual_seed(seed)
    text = T5Config(
        vocab_size=3 + len(WORDS), d_model=16, d_kv=4, num_heads=2, d_ff=16, num_layers=1, num_decoder_layers=1,
        decoder_start_token_id=0, initializer_factor=3.0,
    )  # fmt: skip
    encoder = {"model_type": "slt_video_encoder", "backbone_config": {"model_type": "videomae", **VIDEOMAE}}
    config = SignToTextConfig(encoder_config=encoder, text_config=text.to_dict(), text_encoder="skip")
    SignToTextForConditionalGeneration(config).save_pretrained(folder)
    SignVideoProcessor(
        VideoFeatureExtractor(image_size=16, num_frames=None, fps=12.5), tiny_tokenizer()
    ).save_pretrained(folder)
    return folder


def save_video_classification(folder: Path, seed: int = 0, **config: Any) -> Path:
    """transformers' VideoMAE classifier with our processor, its classes named as the words."""
    import torch
    from transformers import VideoMAEConfig, VideoMAEForVideoClassification

    from slt_hf.processing import VideoFeatureExtractor

    torch.manual_seed(seed)
    labels = {index: word.upper() for index, word in enumerate(WORDS)}
    fields = {"use_mean_pooling": True, "initializer_range": 0.5, "id2label": labels, **VIDEOMAE, **config}
    VideoMAEForVideoClassification(VideoMAEConfig(**fields)).save_pretrained(folder)
    VideoFeatureExtractor(num_frames=8, image_size=16).save_pretrained(folder)
    return folder
