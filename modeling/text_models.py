"""What differs between the text models of transformers' Seq2SeqLM mapping: widths, heads, start and end tokens."""

import copy

from torch import nn


def text_width(text_model, text_encoder: str) -> int:
    """What the projector must produce: token embeddings for the text encoder, or its output for the decoder."""
    if text_encoder == "use":
        return text_model.get_input_embeddings().weight.shape[1]
    config = text_model.config  # T5Gemma and EncoderDecoderModel keep a config for each half
    return getattr(config, "encoder", config).get_text_config().hidden_size


def head_is_tied(text_model) -> bool:
    """Whether the head is the embedding, by the weights themselves rather than by what the config says."""
    head = text_model.get_output_embeddings()
    return head is not None and head.weight is text_model.get_input_embeddings().weight


def untie_head(text_model):
    """Let the head keep a weight of its own. T5-family configs say it is tied whatever their checkpoint says."""
    head = text_model.get_output_embeddings()
    if head_is_tied(text_model):
        head.weight = nn.Parameter(head.weight.detach().clone())
    name = next(name for name, module in text_model.named_modules() if module is head)
    text_model.all_tied_weights_keys.pop(f"{name}.weight", None)
    # UMT5 reads this when it computes logits, and would scale those of an untied head by d_model^-0.5
    text_model.config.tie_word_embeddings = False


def text_generation_config(text_model):
    """The text model's own generation config, completed from its config where the start or end token is missing."""
    generation_config = copy.deepcopy(text_model.generation_config)
    text_config = text_model.config.get_text_config(decoder=True)
    for name in ("decoder_start_token_id", "pad_token_id", "eos_token_id", "bos_token_id"):
        if getattr(generation_config, name) is None:
            found = getattr(text_model.config, name, None)
            setattr(generation_config, name, getattr(text_config, name, None) if found is None else found)
    if generation_config.pad_token_id is None:
        eos = generation_config.eos_token_id
        generation_config.pad_token_id = eos[0] if isinstance(eos, list) else eos
    if generation_config.decoder_start_token_id is None:
        bos = generation_config.bos_token_id
        generation_config.decoder_start_token_id = generation_config.pad_token_id if bos is None else bos
    return generation_config
