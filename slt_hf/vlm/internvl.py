"""InternVL's processor for pictures alone.

transformers' own wants a video processor, which exists only with torchvision, whose wheel does not load beside a CPU
build of torch. A clip is written as numbered pictures here, token for token what InternVL writes for a video, so the
video processor is not missed. The class has the name that checkpoints save, so that they load with either.
"""

from __future__ import annotations

import re
from typing import Any

from transformers import InternVLProcessor as WithVideos
from transformers.processing_utils import ProcessorMixin


class InternVLProcessor(WithVideos):
    """Pictures and text; arguments as of transformers' class."""

    def __init__(
        self,
        image_processor: Any = None,
        tokenizer: Any = None,
        image_seq_length: int = 256,
        chat_template: str | None = None,
        **kwargs: Any,  # `video_processor`, where a checkpoint has one
    ) -> None:
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)
        self.image_seq_length = image_seq_length
        self.start_image_token, self.start_image_token_id = tokenizer.start_image_token, tokenizer.start_image_token_id
        self.end_image_token, self.end_image_token_id = tokenizer.end_image_token, tokenizer.end_image_token_id
        self.image_token, self.image_token_id = tokenizer.context_image_token, tokenizer.context_image_token_id
        self.video_token = tokenizer.video_token
        image, video = re.escape(self.image_token), re.escape(self.video_token)
        self.multimodal_pattern = re.compile(f"(?P<image>{image})|(?P<video>{video})")
