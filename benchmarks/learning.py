"""Which encoder learns a fixed corpus soonest: ours, a linear projection of all points, or the part-wise ST-GCN.

    python benchmarks/learning.py --minutes 3 --threads 2 --output results/learning.json

The same sentences, text model, seeds, learning rate and processor time for each; only the encoder differs. Sentences
are short ones of the synthetic grammar over a few signs; test sentences and their signers are not in training. The
linear projection is the design of T5_for_SLT and MultimodalHugs, the ST-GCN that of Uni-Sign (`encoder_speed.py`).
Seconds are processor seconds of training; evaluation is not counted.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from encoder_speed import PartwiseSTGCN, flops_per_frame
from torch import nn
from transformers import T5Config, T5ForConditionalGeneration

from slt_hf.evaluation.text_metrics import score_text
from slt_hf.modeling import PoseEncoderConfig, PoseEncoderModel, SignToTextConfig, SignToTextForConditionalGeneration
from slt_hf.modeling.modeling_pose_encoder import PoseEncoderOutput, PoseEncoderPreTrainedModel
from slt_hf.processing.pose_transforms import PoseSettings, prepare_clip
from slt_hf.synthesis import SentencePair, make_sentence, signer_of, synthesize
from slt_hf.training.word_tokenizer import train_word_tokenizer

# B batch, T frames, V landmarks, C coordinates (x, y, confidence), D width

LAYOUTS = {"ours": "signing_85", "linear": "signing_85", "st-gcn": "unisign_69"}
WIDTH = 192
TEXT_MODEL = {"d_model": WIDTH, "d_kv": 32, "num_heads": 6, "d_ff": 384, "num_layers": 1, "num_decoder_layers": 2}
FPS = 12.5  # half of what the checkpoints have: twice the steps in the same time, for all three
LEARNED = 90.0  # % of test sentences exactly right


class LinearProjection(PoseEncoderPreTrainedModel):
    """One linear layer over all points of a frame; the text encoder does the rest."""

    def __init__(self, config: PoseEncoderConfig) -> None:
        super().__init__(config)
        self.project = nn.Linear(config.num_landmarks * config.num_coordinates, config.hidden_size)
        self.post_init()

    def forward(self, pose_values: torch.Tensor, attention_mask: torch.Tensor, **kwargs: Any) -> PoseEncoderOutput:
        return PoseEncoderOutput(last_hidden_state=self.project(pose_values.flatten(2)), attention_mask=attention_mask)


class STGCN(PoseEncoderPreTrainedModel):
    """The part-wise ST-GCN at the text model's width."""

    def __init__(self, config: PoseEncoderConfig) -> None:
        super().__init__(config)
        self.graph = PartwiseSTGCN(config.hidden_size)

    def forward(self, pose_values: torch.Tensor, attention_mask: torch.Tensor, **kwargs: Any) -> PoseEncoderOutput:
        return PoseEncoderOutput(last_hidden_state=self.graph(pose_values), attention_mask=attention_mask)


ENCODERS: dict[str, Callable[[PoseEncoderConfig], nn.Module]] = {
    "ours": PoseEncoderModel,
    "linear": LinearProjection,
    "st-gcn": STGCN,
}


@dataclass
class Corpus:
    """Clips as each layout has them, with what they say."""

    poses: dict[str, list[np.ndarray]]  # layout -> (T, V, C) per clip
    texts: list[str]
    glosses: list[str]


def short_sentences(split: str, count: int) -> list[SentencePair]:
    """The first sentences of at most four signs, none of them fingerspelled, of the endless corpus of a split."""
    pairs = (make_sentence(split, seed=0, index=index) for index in itertools.count())
    short = (p for p in pairs if len(p.glosses) <= 4 and not any(gloss.startswith("#") for gloss in p.glosses))
    return list(itertools.islice(short, count))


def choose_signs(pairs: list[SentencePair], count: int) -> set[str]:
    """Signs that say most together: the one in the fewest sentences goes, with its sentences, until `count` are left.

    The most frequent signs alone would be pronouns, which make no sentence.
    """
    kept = {pair.text: set(pair.glosses) for pair in pairs}
    while True:
        uses = Counter(sign for glosses in kept.values() for sign in glosses)
        if len(uses) <= count:
            return set(uses)
        rarest = min(uses, key=lambda sign: (uses[sign], sign))
        kept = {text: glosses for text, glosses in kept.items() if rarest not in glosses}


def over(signs: set[str], pairs: list[SentencePair], count: int) -> list[SentencePair]:
    """That many sentences over the signs given; where there are fewer, they come again, for other people to sign."""
    known = list({pair.text: pair for pair in pairs if signs.issuperset(pair.glosses)}.values())
    return list(itertools.islice(itertools.cycle(known), count))


def make_corpus(split: str, pairs: list[SentencePair]) -> Corpus:
    """Every sentence signed by somebody else."""
    settings = {layout: PoseSettings(layout=layout, fps=FPS) for layout in set(LAYOUTS.values())}
    poses: dict[str, list[np.ndarray]] = {layout: [] for layout in settings}
    for index, pair in enumerate(pairs):
        clip = synthesize(pair.glosses, seed=index, signer=signer_of(split, 0, index))
        for layout, wanted in settings.items():
            poses[layout].append(prepare_clip(clip, wanted))
    return Corpus(poses, [pair.text for pair in pairs], [" ".join(pair.glosses) for pair in pairs])


def build(name: str, tokenizer: Any, num_glosses: int, seed: int) -> SignToTextForConditionalGeneration:
    """The encoder under test in front of the same fresh text model, with the same CTC head over glosses."""
    torch.manual_seed(seed)
    text = T5Config(vocab_size=len(tokenizer), decoder_start_token_id=0, feed_forward_proj="gated-gelu", **TEXT_MODEL)
    text_model = T5ForConditionalGeneration(text)
    sizes = {"num_landmarks": 69, "parts": {"body": list(range(69))}} if name == "st-gcn" else {}
    encoder = ENCODERS[name](PoseEncoderConfig(hidden_size=WIDTH, **sizes))
    config = SignToTextConfig(
        encoder_config=encoder.config, text_config=text, ctc_vocab_size=1 + num_glosses, ctc_weight=1.0
    )
    return SignToTextForConditionalGeneration(config, encoder, text_model)


def batches(corpus: Corpus, layout: str, size: int, seed: int) -> Iterator[list[int]]:
    """Clips in shuffled order, for ever; clips of a batch are of similar length."""
    rng = np.random.default_rng(seed)
    lengths = np.array([len(clip) for clip in corpus.poses[layout]])
    while True:
        order = np.argsort(lengths + rng.uniform(0, 20, len(lengths)))
        groups = [order[start : start + size].tolist() for start in range(0, len(order), size)]
        for group in rng.permutation(len(groups)):
            yield groups[group]


def collate(corpus: Corpus, layout: str, rows: list[int], tokenizer: Any, classes: dict[str, int]) -> dict[str, Any]:
    clips = [torch.from_numpy(corpus.poses[layout][row]) for row in rows]
    labels = [torch.tensor(tokenizer(corpus.texts[row])["input_ids"]) for row in rows]
    glosses = [torch.tensor([classes[gloss] for gloss in corpus.glosses[row].split()]) for row in rows]
    pad = nn.utils.rnn.pad_sequence
    return {
        "pose_values": pad(clips, batch_first=True),
        "attention_mask": pad([torch.ones(len(clip), dtype=torch.long) for clip in clips], batch_first=True),
        "labels": pad(labels, batch_first=True, padding_value=-100),
        "gloss_labels": pad(glosses, batch_first=True, padding_value=-100),
    }


def evaluate(model: Any, corpus: Corpus, layout: str, tokenizer: Any, classes: dict[str, int]) -> dict[str, float]:
    """BLEU and exact match on all test sentences."""
    texts: list[str] = []
    for start in range(0, len(corpus.texts), 16):
        rows = list(range(start, min(start + 16, len(corpus.texts))))
        texts += write(model.eval(), collate(corpus, layout, rows, tokenizer, classes), tokenizer)
    model.train()
    scores = score_text(texts, corpus.texts, names=("bleu_4", "exact_match"))
    return {"bleu": scores["bleu_4"], "exact_match": scores["exact_match"]}


def write(model: Any, batch: dict[str, Any], tokenizer: Any) -> list[str]:
    with torch.no_grad():
        tokens = model.generate(batch["pose_values"], attention_mask=batch["attention_mask"], max_new_tokens=24)
    return [text.strip() for text in tokenizer.batch_decode(tokens, skip_special_tokens=True)]


def clip_milliseconds(model: Any, corpus: Corpus, layout: str, tokenizer: Any, classes: dict[str, int]) -> float:
    """Median over clips, each translated alone."""
    times = []
    for row in range(min(20, len(corpus.texts))):
        batch = collate(corpus, layout, [row], tokenizer, classes)
        start = time.perf_counter()
        write(model.eval(), batch, tokenizer)
        times.append(1000 * (time.perf_counter() - start))
    return float(np.median(times))


def learn(name: str, train: Corpus, test: Corpus, tokenizer: Any, options: argparse.Namespace) -> dict[str, Any]:
    """Train one encoder for the budget; returns its curve and its end."""
    layout, classes = LAYOUTS[name], gloss_classes(train)
    model = build(name, tokenizer, len(classes), options.seed).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    budget, spent, steps, next_look = 60 * options.minutes, 0.0, 0, 0.0
    curve: list[dict[str, float]] = []
    for rows in batches(train, layout, options.batch_size, options.seed):
        start = time.process_time()
        warm = min(1.0, (steps + 1) / 50) * min(1.0, 2.5 * (1 - spent / budget) + 0.05)  # slower over the last 40 %
        for group in optimizer.param_groups:
            group["lr"] = options.learning_rate * warm
        model(**collate(train, layout, rows, tokenizer, classes)).loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        spent, steps = spent + time.process_time() - start, steps + 1
        if spent >= next_look or spent >= budget:
            next_look += budget / options.looks
            curve.append(
                {"seconds": round(spent, 1), "steps": steps} | evaluate(model, test, layout, tokenizer, classes)
            )
            print(f"{name:8} {curve[-1]}", file=sys.stderr, flush=True)
        if spent >= budget:
            break
    reached = next((point["seconds"] for point in curve if point["exact_match"] >= LEARNED), None)
    frame_cost = flops_per_frame(nn.Sequential(WithMask(model.encoder)), model.encoder.config.num_landmarks)
    return {
        "encoder": name,
        "parameters_encoder": sum(parameter.numel() for parameter in model.encoder.parameters()),
        "mflop_per_frame": round(frame_cost / 1e6, 2),
        "seconds_to_90": reached,
        **curve[-1],
        "clip_ms": clip_milliseconds(model, test, layout, tokenizer, classes),
        "curve": curve,
    }


class WithMask(nn.Module):
    """Whole clips without padding, for counting operations."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, poses: torch.Tensor) -> torch.Tensor:
        return self.encoder(poses, torch.ones(poses.shape[:2], dtype=torch.long)).last_hidden_state


def gloss_classes(corpus: Corpus) -> dict[str, int]:
    """Gloss -> class of the CTC head; 0 is the blank."""
    return {name: i + 1 for i, name in enumerate(sorted({g for line in corpus.glosses for g in line.split()}))}


def table(results: list[dict[str, Any]]) -> str:
    lines = [
        "| encoder | BLEU | exact match | processor s to 90 % | steps | ms a clip | MFLOP a frame |",
        "| --- " * 7 + "|",
    ]
    for r in results:
        reached = "not reached" if r["seconds_to_90"] is None else f"{r['seconds_to_90']:.0f}"
        lines.append(
            f"| {r['encoder']} | {r['bleu']:.1f} | {r['exact_match']:.1f} % | {reached} | {r['steps']} "
            f"| {r['clip_ms']:.0f} | {r['mflop_per_frame']:.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=3, help="processor time for each encoder")
    parser.add_argument("--encoders", nargs="+", default=list(ENCODERS), choices=list(ENCODERS))
    parser.add_argument("--signs", type=int, default=16, help="signs in the corpus")
    parser.add_argument("--train-size", type=int, default=400)
    parser.add_argument("--test-size", type=int, default=28)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--looks", type=int, default=8, help="evaluations over the budget")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    pairs = {split: short_sentences(split, 10_000) for split in ("train", "test")}
    signs = choose_signs(pairs["train"], options.signs)
    train = make_corpus("train", over(signs, pairs["train"], options.train_size))
    test = make_corpus("test", over(signs, pairs["test"], options.test_size))
    assert not set(train.texts) & set(test.texts), "test sentences are unseen"
    tokenizer = train_word_tokenizer(train.texts)
    results = [learn(name, train, test, tokenizer, options) for name in options.encoders]
    print(table(results))
    if options.output:
        command = "python benchmarks/learning.py " + " ".join(sys.argv[1:])
        report = {"command": command, "signs": options.signs, "train_sentences": options.train_size, "results": results}
        options.output.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
