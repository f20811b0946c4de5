"""VlmProcessor: clips and answers -> what a vision-language model trains on and generates from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from slt_hf.errors import CheckpointError
from slt_hf.processing.video_clip import VideoClip, to_video_clip
from slt_hf.vlm.settings import VlmSettings

# B batch, L tokens, T frames, H and W pixels

IGNORED = -100  # labels of tokens that are not trained on
FRAME_PIXELS = 448 * 448  # as many as InternVL looks at: 256 tokens; of a whole video frame Qwen would make 1200
# model type -> options of its image processor: one picture a frame, where tiles would make thirteen of it
IMAGE_OPTIONS: dict[str, dict[str, Any]] = {
    "internvl": {"crop_to_patches": False},
    **dict.fromkeys(("idefics3", "smolvlm"), {"do_image_splitting": False}),
    **dict.fromkeys(("qwen2_vl", "qwen2_5_vl", "qwen3_vl"), {"max_pixels": FRAME_PIXELS}),
}


class VlmProcessor:
    """The chat turn that shows a clip: numbered frames, then the question; it is called as `PoseProcessor` is.

    Args:
        processor: transformers' own for the model, for pictures and text.
        settings: question and number of frames.
        model_type: of the model's config.

    Example:
        processor = VlmProcessor(load_parts("OpenGVLab/InternVL3-2B-hf"), settings, "internvl")
        model(**processor("hello.mp4", text="Hello!")).loss
        model.generate(**processor("hello.mp4"))
    """

    model_input_names = ["pixel_values", "input_ids", "attention_mask"]
    prompt = None  # asked in one language only; of `PoseProcessor`
    language_codes = None

    def __init__(self, processor: Any, settings: VlmSettings, model_type: str = "") -> None:
        self.processor, self.settings = processor, settings
        self.tokenizer = processor.tokenizer
        self.image_options = IMAGE_OPTIONS.get(model_type, {})

    def __call__(self, videos: Any, text: str | Sequence[str] | None = None, **_: Any) -> dict[str, Any]:
        """Model input for one clip or a list of clips.

        Args:
            videos: as of `to_video_clip`.
            text: the answers, to train on; without them the turn ends where the model begins to write.

        Returns:
            `input_ids`, `attention_mask` (B, L), `pixel_values` as the model's processor makes them; with answers
            `labels` (B, L), -100 on everything else, and padding on the right; without, padding on the left.
        """
        clips = list(videos) if isinstance(videos, list | tuple) else [videos]
        pictures = [self.pictures(to_video_clip(clip)) for clip in clips]
        turns = [self.turn(len(of_clip)) for of_clip in pictures]
        asked = [self.processor.apply_chat_template(turn, tokenize=False, add_generation_prompt=True) for turn in turns]
        inputs = self.processor(
            images=pictures,
            text=asked,
            padding=True,
            padding_side="left",
            add_special_tokens=False,  # the template has them
            return_tensors="pt",
            images_kwargs=self.image_options,
        )
        if text is None:
            return dict(inputs)
        answers = [text] if isinstance(text, str) else list(text)
        told = zip(turns, asked, answers, strict=True)
        return self._with_answers(dict(inputs), [self.completion(*each) for each in told])

    def pictures(self, clip: VideoClip) -> list[Any]:
        """The clip's frames; one where all are the same, as of a still picture."""
        frames = clip.read(self.settings.num_frames, None, None, lambda image: shown_part(image, clip))
        if (frames == frames[:1]).all():
            frames = frames[:1]
        return [Image.fromarray(frame) for frame in frames]

    def turn(self, frames: int) -> list[dict[str, Any]]:
        """What the user says: frames with their numbers, and the question."""
        content: list[dict[str, str]] = []
        for number in range(1, frames + 1):
            content += [{"type": "text", "text": self.settings.frame_label.format(number=number)}, {"type": "image"}]
        return [{"role": "user", "content": [*content, {"type": "text", "text": self.settings.question}]}]

    def completion(self, turn: list[dict[str, Any]], asked: str, answer: str) -> str:
        """The answer and the token that ends it, as the model's template writes them."""
        reply = {"role": "assistant", "content": [{"type": "text", "text": answer}]}
        whole = self.processor.apply_chat_template([*turn, reply], tokenize=False)
        if not whole.startswith(asked):
            raise CheckpointError(
                "expected a chat template in which an answer follows the prompt for it, found one that changes what "
                "came before; give a checkpoint with another template"
            )
        return whole[len(asked) :].rstrip()

    def _with_answers(self, inputs: dict[str, Any], completions: list[str]) -> dict[str, Any]:
        answers = self.tokenizer(completions, add_special_tokens=False)["input_ids"]
        mask = inputs.pop("attention_mask").bool()
        per_token = [name for name, values in inputs.items() if values.shape == mask.shape]
        labels = [torch.full_like(inputs["input_ids"][0][seen], IGNORED) for seen in mask]
        rows = [torch.cat([row, torch.tensor(answer)]) for row, answer in zip(labels, answers, strict=True)]
        batch = {name: values for name, values in inputs.items() if name not in per_token}
        batch["labels"] = padded(rows, IGNORED)
        batch["attention_mask"] = padded([torch.ones_like(row) for row in rows], 0)
        for name in per_token:
            fill = self.tokenizer.pad_token_id if name == "input_ids" else 0
            added = answers if name == "input_ids" else [[0] * len(answer) for answer in answers]
            prompts = [values[seen] for values, seen in zip(inputs[name], mask, strict=True)]
            joined = [torch.cat([row, row.new_tensor(more)]) for row, more in zip(prompts, added, strict=True)]
            batch[name] = padded(joined, fill)
        return batch

    def batch_decode(self, tokens: Any, **options: Any) -> list[str]:
        return self.tokenizer.batch_decode(tokens, **options)

    def save_pretrained(self, folder: Any) -> None:
        """Settings and the model's own processor."""
        self.processor.save_pretrained(folder)
        self.settings.save(folder)


def shown_part(image: np.ndarray, clip: VideoClip) -> np.ndarray:
    """The part of a frame (H, W, 3) that the clip looks at, turned as it says; the processor scales it."""
    if clip.box is not None:
        height, width = image.shape[:2]
        left, top, right, bottom = clip.box
        image = image[round(top * height) : round(bottom * height), round(left * width) : round(right * width)]
    if clip.light is not None:
        image = clip.light(image)
    return image[:, ::-1] if clip.mirrored else image


def padded(rows: list[torch.Tensor], value: int) -> torch.Tensor:
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=value)
