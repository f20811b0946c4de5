"""Two stages against one: contrastive then translation, or translation alone, in equal steps on the same sentences.

    python benchmarks/two_stages.py --steps 400 --threads 2 --output results/two_stages.json

Both runs begin with the same pose encoder and the same text model. The text model has learned the training sentences
as text (to give back a sentence of which words are missing), as a pretrained one would know its language. One run then
learns to translate for all its steps. The other spends part of them on pairing clips with sentences, in the space of
the text model's frozen encoder, and the rest on translating. There is no CTC head here: it would be a third stage.
Corpus, signers and scores are those of `learning.py`.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from learning import TEXT_MODEL, WIDTH, Corpus, batches, choose_signs, evaluate, make_corpus, over, short_sentences
from torch import nn
from transformers import T5Config, T5ForConditionalGeneration

from slt_hf.modeling import (
    PoseEncoderConfig,
    PoseEncoderModel,
    SignTextDualEncoderModel,
    SignToTextForConditionalGeneration,
)
from slt_hf.training.word_tokenizer import train_word_tokenizer

LAYOUT = "signing_85"
MISSING = 0.3  # of the words, in what the text model is given to complete
Batch = dict[str, torch.Tensor]


def collate(corpus: Corpus, rows: list[int], tokenizer: Any) -> Batch:
    """Poses (B, T, V, C) and tokens (B, L), each with its mask."""
    clips = [torch.from_numpy(corpus.poses[LAYOUT][row]) for row in rows]
    text = tokenizer([corpus.texts[row] for row in rows], padding=True, return_tensors="pt")
    pad = nn.utils.rnn.pad_sequence
    return {
        "pose_values": pad(clips, batch_first=True),
        "attention_mask": pad([torch.ones(len(clip), dtype=torch.long) for clip in clips], batch_first=True),
        "input_ids": text["input_ids"],
        "text_attention_mask": text["attention_mask"],
    }


def labels(batch: Batch) -> torch.Tensor:
    return batch["input_ids"].masked_fill(batch["text_attention_mask"] == 0, -100)


def optimise(module: nn.Module, loss_of: Callable[[Batch], torch.Tensor], data: Iterator[Batch], steps: int) -> float:
    """AdamW with warm-up and a slower end; returns the processor seconds it took."""
    weights = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=1e-3, betas=(0.9, 0.98), weight_decay=0.01)
    start = time.process_time()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * min(1.0, (step + 1) / 50) * min(1.0, 2.5 * (1 - step / steps) + 0.05)
        loss_of(next(data)).backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return time.process_time() - start


def learn_language(corpus: Corpus, tokenizer: Any, data: Iterator[Batch], steps: int) -> T5ForConditionalGeneration:
    """A text model that completes sentences of the corpus."""
    config = T5Config(vocab_size=len(tokenizer), decoder_start_token_id=0, feed_forward_proj="gated-gelu", **TEXT_MODEL)
    model = T5ForConditionalGeneration(config)

    def completion(batch: Batch) -> torch.Tensor:
        gone = (torch.rand(batch["input_ids"].shape) < MISSING) & (batch["input_ids"] > 2)
        given = batch["input_ids"].masked_fill(gone, tokenizer.unk_token_id)
        return model(input_ids=given, attention_mask=batch["text_attention_mask"], labels=labels(batch)).loss

    optimise(model.train(), completion, data, steps)
    return model


def pair(encoder: PoseEncoderModel, text_model: T5ForConditionalGeneration, data: Iterator[Batch], steps: int) -> float:
    """The contrastive stage: the encoder learns, the text model stays."""
    dual = SignTextDualEncoderModel.from_encoder_text_pretrained(encoder, copy.deepcopy(text_model.get_encoder()))
    dual.text_model.requires_grad_(False)
    return optimise(dual.train(), lambda batch: dual(**batch).loss, data, steps)


def translate(model: SignToTextForConditionalGeneration, data: Iterator[Batch], steps: int) -> float:
    def loss(batch: Batch) -> torch.Tensor:
        return model(batch["pose_values"], batch["attention_mask"], labels=labels(batch)).loss

    return optimise(model.train(), loss, data, steps)


def run(contrastive: int, text_model: Any, train: Corpus, test: Corpus, tokenizer: Any, options: Any) -> dict[str, Any]:
    """One run of `options.steps` steps, the first `contrastive` of them spent on pairing."""
    torch.manual_seed(options.seed)
    encoder, text_model = PoseEncoderModel(PoseEncoderConfig(hidden_size=WIDTH)), copy.deepcopy(text_model)
    data = (collate(train, rows, tokenizer) for rows in batches(train, LAYOUT, options.batch_size, options.seed))
    seconds = pair(encoder, text_model, data, contrastive) if contrastive else 0.0
    model = SignToTextForConditionalGeneration.from_encoder_text_pretrained(encoder, text_model)
    seconds += translate(model, data, options.steps - contrastive)
    classes = {gloss: 1 for line in [*train.glosses, *test.glosses] for gloss in line.split()}  # not read here
    scores = evaluate(model, test, LAYOUT, tokenizer, classes)
    stages = 2 if contrastive else 1
    return {"stages": stages, "contrastive_steps": contrastive, "processor_seconds": round(seconds, 1), **scores}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=400, help="of each run, both stages together")
    parser.add_argument("--contrastive", type=float, default=0.3, help="their share that two stages spend on pairing")
    parser.add_argument("--text-steps", type=int, default=300, help="of learning the sentences as text, before both")
    parser.add_argument("--signs", type=int, default=16)
    parser.add_argument("--train-size", type=int, default=400)
    parser.add_argument("--test-size", type=int, default=28)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    pairs = {split: short_sentences(split, 10_000) for split in ("train", "test")}
    signs = choose_signs(pairs["train"], options.signs)
    train = make_corpus("train", over(signs, pairs["train"], options.train_size))
    test = make_corpus("test", over(signs, pairs["test"], options.test_size))
    tokenizer = train_word_tokenizer(train.texts)
    texts = (collate(train, rows, tokenizer) for rows in batches(train, LAYOUT, 32, options.seed))
    text_model = learn_language(train, tokenizer, texts, options.text_steps)
    results = []
    for contrastive in (0, round(options.contrastive * options.steps)):
        results.append(run(contrastive, text_model, train, test, tokenizer, options))
        print(json.dumps(results[-1]), flush=True)
    if options.output:
        command = "python benchmarks/two_stages.py " + " ".join(sys.argv[1:])
        report = {"command": command, "steps": options.steps, "train_sentences": options.train_size, "results": results}
        options.output.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
