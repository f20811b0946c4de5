"""Vision-language models small enough to make in a test: real classes, random weights, a tokenizer of bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<img>", "</img>", "<IMG_CONTEXT>", "<video>"]
# As InternVL3's: a line break after each picture
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}<IMG_CONTEXT>\n{% else %}{{ c['text'] }}{% endif %}{% endfor %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SIZE, PATCH = 32, 8  # pixels; (32 / 8)^2 patches, of which four make one token


NAMED = {
    "start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>",
    "video_token": "<video>",
}  # fmt: skip


def tiny_vlm_tokenizer(special: list[str] = SPECIAL, named: dict[str, str] = NAMED) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({token: number for number, token in enumerate(special + letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(special)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>", extra_special_tokens=named
    )


def text_config(tokenizer: Any, width: int = 32) -> dict[str, Any]:
    return {
        "hidden_size": width, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "intermediate_size": width, "vocab_size": len(tokenizer), "max_position_embeddings": 4096, "pad_token_id": 0,
        "bos_token_id": 1, "eos_token_id": 2,
    }  # fmt: skip


def save_model(model: Any, folder: Path) -> None:
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = 2, 0
    model.save_pretrained(folder)


def save_vlm(folder: Path, width: int = 32, seed: int = 0) -> Path:
    """A whole checkpoint with its processor, as on the Hub.

    Args:
        width: of the language model; bitsandbytes wants 128.
    """
    import torch
    from transformers import InternVLConfig, InternVLForConditionalGeneration
    from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil

    from slt_hf.vlm.internvl import InternVLProcessor

    torch.manual_seed(seed)
    tokenizer = tiny_vlm_tokenizer()
    vision = {
        "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
        "image_size": [SIZE, SIZE], "patch_size": [PATCH, PATCH],
    }  # fmt: skip
    text = {"model_type": "qwen2", **text_config(tokenizer, width)}
    config = InternVLConfig(
        vision_config=vision, text_config=text, image_token_id=SPECIAL.index("<IMG_CONTEXT>"),
        image_seq_length=(SIZE // PATCH) ** 2 // 4, downsample_ratio=0.5,
    )  # fmt: skip
    save_model(InternVLForConditionalGeneration(config), folder)
    pictures = GotOcr2ImageProcessorPil(size={"height": SIZE, "width": SIZE}, crop_to_patches=True)
    processor = InternVLProcessor(pictures, tokenizer, config.image_seq_length, chat_template=TEMPLATE)
    processor.save_pretrained(folder)
    return folder


SIGLIP = {
    "model_type": "siglip_vision_model", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 32, "image_size": SIZE, "patch_size": PATCH,
}  # fmt: skip


def save_qwen(folder: Path) -> None:
    """Qwen2.5-VL: pictures of any size, positions in three directions."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    from slt_hf.vlm.pictures_only import pictures_only

    own = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    tokenizer = tiny_vlm_tokenizer([*SPECIAL[:3], *own], {})
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}
    vision = {
        "depth": 1, "hidden_size": 32, "num_heads": 2, "intermediate_size": 32, "out_hidden_size": 32,
        "patch_size": PATCH, "window_size": 32, "fullatt_block_indexes": [0],
    }  # fmt: skip
    config = Qwen2_5_VLConfig(
        vision_config=vision, text_config={**text_config(tokenizer), "rope_parameters": rope}, vision_start_token_id=3,
        vision_end_token_id=4, image_token_id=5, video_token_id=6,
    )  # fmt: skip
    save_model(Qwen2_5_VLForConditionalGeneration(config), folder)
    pictures = Qwen2VLImageProcessorPil(patch_size=PATCH, size={"shortest_edge": 256, "longest_edge": 1024})
    template = TEMPLATE.replace("<IMG_CONTEXT>\n", "<|vision_start|><|image_pad|><|vision_end|>")
    pictures_only(Qwen2_5_VLProcessor)(pictures, tokenizer, chat_template=template).save_pretrained(folder)


def save_idefics3(folder: Path) -> None:
    """Idefics3: tiles unless told otherwise; its language model is called `text_model`."""
    from transformers import Idefics3Config, Idefics3ForConditionalGeneration, Idefics3Processor
    from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

    classes = Idefics3Config, Idefics3ForConditionalGeneration, Idefics3ImageProcessorPil, Idefics3Processor
    save_tiled(folder, *classes)


def save_smolvlm(folder: Path) -> None:
    """SmolVLM: as Idefics3, and its processor insists on one for videos."""
    from transformers import SmolVLMConfig, SmolVLMForConditionalGeneration
    from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

    from slt_hf.vlm.smolvlm import SmolVLMProcessor

    save_tiled(folder, SmolVLMConfig, SmolVLMForConditionalGeneration, SmolVLMImageProcessorPil, SmolVLMProcessor)


def save_tiled(folder: Path, config_class: Any, model_class: Any, picture_class: Any, processor_class: Any) -> None:
    """A model of Idefics3's layout."""
    own = ["<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>"]
    tokenizer = tiny_vlm_tokenizer([*SPECIAL[:3], *own], {})
    vision = {name: value for name, value in SIGLIP.items() if name != "model_type"}
    text = {"model_type": "llama", **text_config(tokenizer)}
    config = config_class(vision_config=vision, text_config=text, scale_factor=2, image_token_id=4)
    save_model(model_class(config), folder)
    pictures = picture_class(size={"longest_edge": 2 * SIZE}, max_image_size={"longest_edge": SIZE})
    template = TEMPLATE.replace("<IMG_CONTEXT>\n", "<image>")
    processor_class(pictures, tokenizer, image_seq_len=4, chat_template=template).save_pretrained(folder)


def save_llava(folder: Path) -> None:
    from transformers import LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor
    from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil

    tokenizer = tiny_vlm_tokenizer([*SPECIAL[:3], "<image>"], {"image_token": "<image>"})
    text = {"model_type": "qwen2", **text_config(tokenizer)}
    whole = {"vision_feature_select_strategy": "full"}
    config = LlavaConfig(vision_config=SIGLIP, text_config=text, image_token_id=3, image_seq_length=16, **whole)
    save_model(LlavaForConditionalGeneration(config), folder)
    square = {"height": SIZE, "width": SIZE}
    pictures = LlavaImageProcessorPil(size=square, crop_size=square)
    template = TEMPLATE.replace("<IMG_CONTEXT>\n", "<image>")
    LlavaProcessor(pictures, tokenizer, patch_size=PATCH, chat_template=template, **whole).save_pretrained(folder)


def save_onevision(folder: Path) -> None:
    """LLaVA-OneVision: tiles of a single picture, none of several."""
    from transformers import LlavaOnevisionConfig, LlavaOnevisionForConditionalGeneration, LlavaOnevisionProcessor
    from transformers.models.llava_onevision.image_processing_pil_llava_onevision import (
        LlavaOnevisionImageProcessorPil,
    )

    from slt_hf.vlm.pictures_only import pictures_only

    tokenizer = tiny_vlm_tokenizer([*SPECIAL[:3], "<image>", "<video>"], {})
    text = {"model_type": "qwen2", **text_config(tokenizer)}
    whole, grid = {"vision_feature_select_strategy": "full"}, [[SIZE, 2 * SIZE], [2 * SIZE, SIZE]]
    config = LlavaOnevisionConfig(
        vision_config=SIGLIP, text_config=text, image_token_id=3, video_token_id=4, image_grid_pinpoints=grid, **whole
    )
    save_model(LlavaOnevisionForConditionalGeneration(config), folder)
    pictures = LlavaOnevisionImageProcessorPil(size={"height": SIZE, "width": SIZE}, image_grid_pinpoints=grid)
    made = pictures_only(LlavaOnevisionProcessor)(
        pictures, tokenizer, num_image_tokens=16, chat_template=TEMPLATE.replace("<IMG_CONTEXT>\n", "<image>"), **whole
    )
    made.save_pretrained(folder)


FAMILIES = {
    "qwen2_5_vl": save_qwen, "idefics3": save_idefics3, "smolvlm": save_smolvlm, "llava": save_llava,
    "llava_onevision": save_onevision,
}  # fmt: skip
