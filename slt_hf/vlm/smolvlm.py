"""SmolVLM's processor for pictures alone.

transformers' own insists on a video processor, which exists only with torchvision, and on num2words, with which it says
how many frames a video has. Neither is missed where a clip is numbered pictures. The class has the name that
checkpoints save, so that they load with either.
"""

from __future__ import annotations

from typing import Any

from transformers import SmolVLMProcessor as WithVideos
from transformers.processing_utils import ProcessorMixin


class SmolVLMProcessor(WithVideos):
    """Pictures and text; arguments as of transformers' class."""

    def __init__(
        self,
        image_processor: Any = None,
        tokenizer: Any = None,
        image_seq_len: int = 169,
        chat_template: str | None = None,
        **kwargs: Any,  # `video_processor`, where a checkpoint has one
    ) -> None:
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)
        self.image_seq_len = image_seq_len
        named = {"fake_image_token": "<fake_token_around_image>", "image_token": "<image>", "video_token": "<video>",
                 "end_of_utterance_token": "<end_of_utterance>", "global_image_token": "<global-img>"}  # fmt: skip
        for name, usual in named.items():
            setattr(self, name, getattr(tokenizer, name, usual))  # some of its tokenizers name them, some do not
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)

    def apply_chat_template(self, conversation: Any, chat_template: str | None = None, **kwargs: Any) -> Any:
        """As of every processor: transformers' class asks its video processor for a frame rate first."""
        return ProcessorMixin.apply_chat_template(self, conversation, chat_template, **kwargs)
