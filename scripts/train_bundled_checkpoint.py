"""Train the checkpoint that ships with the package: it translates what the synthetic signer signs, and reads real
letters and words.

    python scripts/train_bundled_checkpoint.py --minutes 70 --recordings ../shared/data --output outputs/bundled
    python scripts/train_bundled_checkpoint.py --minutes 0 --resume outputs/bundled --recordings ../shared/data \\
        --output slt_hf/checkpoints/demo

The second line measures and saves without training. Synthetic clips are made while training runs, from our own grammar,
lexicon and names; with `--recordings`, clips of people under CC0 and MIT join them (`bundled_recordings.py`). Metrics
are measured on sentences, signers and alphabets that training never saw and written into the card.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import nn
from transformers import T5Config

from slt_hf.data.example_store import Example, ExampleStore, Source, pack
from slt_hf.demonstration import SOURCES, all_targets, sign_unseen, text_targets, training_texts
from slt_hf.evaluation.text_metrics import text_metrics
from slt_hf.model_card import write_card
from slt_hf.modeling import PoseEncoderConfig, SignToTextConfig, SignToTextForConditionalGeneration
from slt_hf.modeling.ctc_compression import compress_runs
from slt_hf.modeling.modeling_pose_encoder import ctc_loss
from slt_hf.pipeline import SignTranslator
from slt_hf.processing.feature_extraction_pose import PoseFeatureExtractor
from slt_hf.processing.pose_resampling import sample_frames
from slt_hf.processing.processing_pose import PoseProcessor
from slt_hf.synthesis.vocabulary import names
from slt_hf.training.word_tokenizer import train_word_tokenizer

import bundled_recordings  # isort: skip  (scripts run from their own folder)
import bundled_streams  # isort: skip
from bundled_calibration import calibrate  # isort: skip

# B batch, T frames, V landmarks, C coordinates

Spoken = list[tuple[str, Any]]  # what clips say, and the clips
Losses = Callable[[Any, float], dict[str, tuple[float, torch.Tensor]]]  # batch, share done -> name: weight, loss
MIX = (
    "sentence=0.2 sentence_heard=0.12 sentences=0.08 word=0.08 signs=0.1 lone=0.08 letters=0.11 words=0.07 idle=0.08 "
    "brief=0.08"
).split()
WHOLE_SILENCE = 0.5  # of clips without signing are seen whole, as streams cut them; of the others any part
SLOW_CAMERAS = 0.3  # of clips are seen at 10, 15 or 30 frames a second
FPS = 25.0
POSITION_SPEED = 30  # learning rate of T5's position biases, in learning rates
TEXT_MODEL = {"d_model": 192, "d_kv": 32, "num_heads": 6, "d_ff": 512, "num_layers": 2, "num_decoder_layers": 2}

CARD = Path(__file__).with_name("bundled_card.yaml")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder for the checkpoint")
    parser.add_argument("--resume", type=Path, help="folder of a checkpoint to go on from")
    parser.add_argument("--stages", nargs="+", default=["encoder", "decoder"], help="of the training")
    parser.add_argument("--minutes", type=float, default=25, help="of processor time for training")
    parser.add_argument(
        "--clock-minutes", type=float, default=1e6, help="at most for training, where others compute too"
    )
    parser.add_argument("--encoder-share", type=float, default=0.75, help="of the time: signs are misread most")
    parser.add_argument("--recordings", type=Path, help="folder of the shared real data; without it all is synthetic")
    parser.add_argument("--mix", nargs="+", default=MIX, help="source=weight")
    parser.add_argument("--frames", type=int, default=1800, help="of a batch, padding counted")
    parser.add_argument("--learning-rate", type=float, default=1.2e-3)
    parser.add_argument("--capacity", type=int, default=8000, help="examples held at once")
    parser.add_argument("--workers", type=int, default=1, help="processes that make examples")
    parser.add_argument("--threads", type=int, default=1, help="of the arithmetic")
    parser.add_argument("--test-size", type=int, default=200, help="sentences of each test set")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def build(seed: int) -> tuple[SignToTextForConditionalGeneration, PoseProcessor]:
    """The default encoder in its live mode, and a small T5 over the words of the grammar."""
    torch.manual_seed(seed)
    # a name is always spelled: one that is now a word, now letters, teaches neither
    tokenizer = train_word_tokenizer(training_texts(4000, seed), spelled=names("train"))
    text = T5Config(
        vocab_size=len(tokenizer),
        feed_forward_proj="gated-gelu",
        decoder_start_token_id=tokenizer.pad_token_id,
        **TEXT_MODEL,
    )
    encoder = PoseEncoderConfig(chunk_frames=8)  # 0.3 s: so that a live translator can feed it
    config = SignToTextConfig(
        encoder_config=encoder.to_dict(),
        text_config=text.to_dict(),
        text_encoder="use",  # it tells the decoder what stands before what; cross-attention alone has no order
        ctc_vocab_size=1 + len(all_targets()),
        ctc_compression=True,
    )
    provenance = {"extractor": "slt_hf synthetic signer", "version": "1"}
    extractor = PoseFeatureExtractor(signing_hand="right", provenance=provenance)
    return SignToTextForConditionalGeneration(config), PoseProcessor(extractor, tokenizer)


def collate(examples: list[Example], processor: PoseProcessor, rng: np.random.Generator) -> dict[str, torch.Tensor]:
    """Augmented model inputs; examples without text have labels of -100 only."""
    varied = [vary(example, rng) for example in examples]
    batch = processor.feature_extractor.pad([poses for poses, _ in varied], "pt")
    labels = processor(text=[example.text or "" for example in examples], return_tensors="pt")["labels"]
    labels[torch.tensor([example.text is None for example in examples])] = -100
    return dict(batch) | {
        "labels": labels,
        "gloss_labels": pad([torch.tensor(example.targets) for example in examples], -100),
        "frame_labels": pad([torch.from_numpy(classes) for _, classes in varied], -1),
    }


def pad(rows: list[torch.Tensor], value: int) -> torch.Tensor:
    return nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=value)


def vary(example: Example, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Another tempo, another angle, some noise, a hand that is missing for a while: (T, V, C) and its frame targets."""
    first, last = shown(example.frame_targets, rng)
    length = max(8, round((last - first + 1) * rng.uniform(0.7, 1.15)))
    places = np.linspace(first, last, length).round().astype(int)
    poses = example.poses[places].astype(np.float32)
    if rng.random() < SLOW_CAMERAS:
        poses = filmed(poses, rng.choice([10.0, 15.0, 30.0]) / FPS)
    turn = np.eye(2) * rng.uniform(0.92, 1.08, 2) + rng.normal(0, 0.04, (2, 2))
    moved = poses[..., :2] @ turn.T.astype(np.float32) + rng.normal(0, 0.03, 2)
    moved += rng.normal(0, rng.uniform(0, 0.012), moved.shape)
    poses[..., :2] = np.where(poses[..., 2:] > 0, moved, 0)
    for hand in (slice(11, 32), slice(32, 53)):
        if rng.random() < 0.15:
            start = rng.integers(length)
            poses[start : start + rng.integers(2, 8), hand] = 0
    return poses, example.frame_targets[places]


def shown(frame_targets: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
    """First and last frame of the part of a clip that is used: what is signed, with as much before and after as a live
    translator hears of it, now and then all there is; any part where nothing is signed."""
    end, made = len(frame_targets) - 1, np.flatnonzero(frame_targets)
    if not len(made):
        if rng.random() < WHOLE_SILENCE:
            return 0, end
        first = int(rng.integers(max(1, end // 2)))
        return first, int(rng.integers(min(end, first + 8), end + 1))
    before, after = (rng.integers(2, 120 if rng.random() < 0.25 else 16) for _ in range(2))
    return max(0, made[0] - before), min(end, made[-1] + after)


def filmed(poses: np.ndarray, rate: float) -> np.ndarray:
    """Poses (T, V, C) by a camera of `rate` times as many frames a second, back at the model's rate as in streams."""
    times = np.arange(0, len(poses) - 1 + 1e-6, 1 / rate)
    points, confidence = sample_frames(poses[..., :2], poses[..., 2], times)
    back = np.arange(len(poses)) * rate
    points, confidence = sample_frames(points, confidence, np.minimum(back, len(times) - 1))
    return np.concatenate([points, confidence[..., None]], -1)


def optimise(
    model: Any,
    batches: Iterator[Any],
    losses: Losses,
    options: argparse.Namespace,
    share: float,
    keep: Callable[[Any], None],
) -> None:
    """AdamW with warm-up and a last third that slows down; the running mean of the weights is what is kept.

    Args:
        share: of the time that `options` give.
    """
    optimizer = torch.optim.AdamW(parameter_groups(model), betas=(0.9, 0.98))
    mean = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.995))
    started, begun, told, sums, count = time.process_time(), time.monotonic(), time.process_time(), Counter[str](), 0
    for step, batch in enumerate(batches):
        done = max(
            (time.process_time() - started) / (60 * share * options.minutes),
            (time.monotonic() - begun) / (60 * share * options.clock_minutes),
        )
        if done >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = group["speed"] * options.learning_rate * min((step + 1) / 100, 1, (1 - done) / 0.3)
        weighted = losses(batch, done)
        torch.stack([weight * loss for weight, loss in weighted.values()]).sum().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        mean.update_parameters(model)
        sums.update({name: loss.item() for name, (_, loss) in weighted.items()})
        count += 1
        if time.process_time() - told > 30:
            told = time.process_time()
            shown = " ".join(f"{name} {value / count:.3f}" for name, value in sums.items())
            print(f"{done:4.0%} step {step + 1} {shown}", flush=True)
            sums, count = Counter[str](), 0
            keep(mean.module)
    model.load_state_dict(mean.module.state_dict())


def train_encoder(model: Any, processor: PoseProcessor, store: ExampleStore, options: argparse.Namespace) -> None:
    """First stage, signs and letters: at first by when each is made, then by their order alone.

    Begun at once, CTC first learns to say nothing at all. An encoder that reads already begins with both.
    """
    rng = np.random.default_rng(options.seed)
    known = 0.3 if options.resume else 0.0

    def losses(examples: list[Example], done: float) -> dict[str, tuple[float, torch.Tensor]]:
        batch, done = collate(examples, processor, rng), max(done, known + 1e-6)
        encoded = model.encoder(batch["pose_values"], batch["attention_mask"])
        logits = model.ctc_head(encoded.last_hidden_state)
        ctc = ctc_loss(logits, encoded.attention_mask, batch["gloss_labels"], blank=0)
        timed = timed_loss(logits, step_classes(batch["frame_labels"], model))
        return {"timed": (1.0 if done < 0.3 else 0.5 if done < 0.7 else 0.1, timed), "ctc": (0.3 * (done > 0.3), ctc)}

    batches = store.batches(rng, options.frames)
    optimise(
        model,
        batches,
        losses,
        options,
        options.encoder_share,
        lambda mean: save(mean, processor, options.output),
    )


Spelling = tuple[np.ndarray, str]  # what the text model is given, (signs, D), and what it should say


def collect_signs(
    model: Any, processor: PoseProcessor, store: ExampleStore, options: argparse.Namespace
) -> tuple[dict[int, list[np.ndarray]], list[Spelling]]:
    """What the encoder makes of the store's clips, which is what the text model is given.

    Returns:
        Target -> a vector (D,) for each time it was read in a clip that was read right; and whole clips as they were
        read, mistakes included, with their text.
    """
    rng, signs, read = np.random.default_rng(options.seed), defaultdict(list), []
    for examples in pack(sorted(store.examples, key=lambda example: len(example.poses)), 4 * options.frames):
        batch = collate(examples, processor, rng)
        with torch.inference_mode():
            encoded = model.encoder(batch["pose_values"], batch["attention_mask"])
            best = model.ctc_head(encoded.last_hidden_state).argmax(-1) * encoded.attention_mask
            means, _ = compress_runs(encoded.last_hidden_state, encoded.attention_mask, best)
        for example, mean, row in zip(examples, means.numpy(), best, strict=True):
            found = [int(label) for label in torch.unique_consecutive(row) if label]
            if example.text is not None:
                times = SILENCE_COUNTS if found and not example.text else 1
                read += [(mean[: max(1, len(found))].copy(), example.text)] * times  # one zero where nothing was read
            if found == list(example.targets):
                for target, vector in zip(example.targets, mean, strict=False):
                    signs[int(target)].append(vector.copy())
    return signs, read


SILENCE_COUNTS = 8  # times: a clip without signing in which the encoder read something; they are few
WHOLE_CLIPS = 0.25  # of what the decoder learns from: clips as the encoder read them, with the mistakes that it makes


def misread(vectors: list[np.ndarray], others: list[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    """The encoder's mistakes: one sign taken for another, one too many, one lost."""
    place, other, kind = rng.integers(len(vectors)), others[rng.integers(len(others))], rng.random()
    kept = vectors[:place] + ([other] if kind < 0.7 else []) + vectors[place + (0 if 0.4 < kind < 0.7 else 1) :]
    return kept or vectors


def train_decoder(model: Any, processor: PoseProcessor, store: ExampleStore, options: argparse.Namespace) -> None:
    """Second stage, the grammar: sentences put together from single signs as the encoder gives them.

    One vector a sign (`ctc_compression`) makes this translation between short sequences, without a clip in sight; the
    encoder and its CTC head stay as they are.
    """
    rng = np.random.default_rng(options.seed)
    signs, read = collect_signs(model, processor, store, options)
    others = [vectors[0] for vectors in signs.values()]
    model.encoder.requires_grad_(False)
    model.ctc_head.requires_grad_(False)
    model.text_model.eval()  # no dropout: sentences are drawn without end, there is nothing to learn by heart
    model.config.ctc_compression = False  # what the text model is given here is compressed already

    def draw() -> Spelling:
        if rng.random() < WHOLE_CLIPS:
            return read[rng.integers(len(read))]
        while True:
            targets, text = text_targets(rng)
            if all(target in signs for target in targets):
                break
        vectors = [signs[target][rng.integers(len(signs[target]))] for target in targets]
        return np.stack(misread(vectors, others, rng) if rng.random() < 0.05 else vectors), text

    def losses(size: int, done: float) -> dict[str, tuple[float, torch.Tensor]]:
        drawn = [draw() for _ in range(size)]
        states = pad([torch.tensor(each) for each, _ in drawn], 0)
        states = states + 0.05 * states.std() * torch.randn_like(states)
        mask = pad([torch.ones(len(each), dtype=torch.long) for each, _ in drawn], 0)
        labels = processor(text=[text for _, text in drawn], return_tensors="pt")["labels"]
        output = model(encoder_outputs=model.encode(sign_states=states, sign_mask=mask), labels=labels)
        return {"translation": (1.0, output.loss)}

    optimise(
        model,
        repeat(64),
        losses,
        options,
        1 - options.encoder_share,
        lambda mean: save(mean, processor, options.output),
    )
    model.config.ctc_compression = True


STAGES = {"encoder": train_encoder, "decoder": train_decoder}


def parameter_groups(model: nn.Module) -> list[dict[str, Any]]:
    """Weight decay on matrices only. T5's position biases are attention scores as they stand, and all that tells it who
    does what to whom: at the rate of the other weights they would need thousands of steps to say "the one before".
    """
    named = list(model.named_parameters())
    biases = [weights for name, weights in named if "relative_attention_bias" in name]
    matrices = [weights for name, weights in named if weights.ndim > 1 and "relative_attention_bias" not in name]
    others = [weights for _, weights in named if weights.ndim <= 1]
    return [
        {"params": matrices, "weight_decay": 0.02, "speed": 1.0},
        {"params": others, "weight_decay": 0.0, "speed": 1.0},
        {"params": biases, "weight_decay": 0.0, "speed": POSITION_SPEED},
    ]


def step_classes(frame_labels: torch.Tensor, model: Any) -> torch.Tensor:
    """(B, T) -> (B, S): a step shows what one of its frames shows; -1 is padding or unknown."""
    stride = model.config.encoder_config.stride
    padded = nn.functional.pad(frame_labels, (0, -frame_labels.shape[1] % stride), value=-1)
    return padded.unflatten(1, (-1, stride)).amax(-1)


def timed_loss(logits: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of every step against what is made at that time; steps on the way to the next sign count less."""
    weights = torch.ones(logits.shape[-1])
    weights[0] = 0.3
    loss = nn.functional.cross_entropy(logits.float().flatten(0, 1), classes.flatten(), weights, ignore_index=-1)
    return loss.nan_to_num()  # no time is known of anything in the batch


def save(model: Any, processor: PoseProcessor, folder: Path) -> None:
    """float16 on disk, float32 in use; without the code, which the package has."""
    folder.mkdir(parents=True, exist_ok=True)
    how = model.eval().generation_config
    how.max_new_tokens, how.num_beams = 64, 2
    how.no_repeat_ngram_size = 4  # else spelled names end in the same letters again and again
    copy.deepcopy(model).half().save_pretrained(folder)
    processor.save_pretrained(folder)
    for path in folder.glob("*.py"):
        path.unlink()
    for name in ("config.json", "processor_config.json"):
        values = without(json.loads((folder / name).read_text()), "auto_map")
        if "dtype" in values:
            values["dtype"] = "float32"
        (folder / name).write_text(json.dumps(values, indent=2, sort_keys=True) + "\n")


def without(values: Any, key: str) -> Any:
    """A JSON object without a key, at any depth."""
    if isinstance(values, dict):
        return {name: without(value, key) for name, value in values.items() if name != key}
    return values


def load(folder: Path) -> tuple[SignToTextForConditionalGeneration, PoseProcessor]:
    translator = SignTranslator.from_pretrained(folder, device="cpu")
    return translator.engine.model, translator.processor  # type: ignore[attr-defined]


def tests(test_size: int, recordings: Path | None) -> Iterator[tuple[str, str, list[str], Spoken]]:
    """Name of a test set, its split, its metrics, and its clips with what they say."""
    for kind in ("clean", "noisy"):
        drawn = [sign_unseen(seed=seed, noisy=kind == "noisy", layout="signing_85") for seed in range(test_size)]
        clips = [(text, clip) for text, clip, _ in drawn]
        yield f"synthetic sentences, {kind} clips", "test", ["exact_match", "bleu_4", "chrf", "wer"], clips
    if recordings is not None:
        for name, clips in bundled_recordings.test_recordings(recordings).items():
            yield name, "dev", ["exact_match", "cer"], clips


def measure(translator: SignTranslator, name: str, metrics: list[str], spoken: Spoken) -> dict[str, Any]:
    """Metrics of unseen clips by unseen signers, with the checkpoint as saved. Shows the first mistakes."""
    references = [text for text, _ in spoken]
    found = [each.text for each in translator([clip for _, clip in spoken], batch_size=16)]
    wrong = [(said, read) for said, read in zip(references, found, strict=True) if said != read]
    print(f"{name}: {len(wrong)} of {len(spoken)} wrong")
    for said, read in wrong[:20]:
        print(f"  {said!r} -> {read!r}")
    return text_metrics(found, references, names=metrics)


def describe(folder: Path, test_size: int, recordings: Path | None) -> None:
    """Measure, and write what was measured into `card.yaml` and the card."""
    translator = SignTranslator.from_pretrained(folder, device="cpu")
    metrics = [
        {
            "name": metric,
            "value": round(found.corpus_score, 2),
            "dataset": name,
            "split": f"{split}, n={len(spoken)}",
            "signature": found.signature,
        }
        for name, split, wanted, spoken in tests(test_size, recordings)
        for metric, found in measure(translator, name, wanted, spoken).items()
    ]
    facts = yaml.safe_load(CARD.read_text(encoding="utf-8")) | {"metrics": metrics}
    (folder / "card.yaml").write_text(yaml.safe_dump(facts, sort_keys=False, allow_unicode=True, width=110))
    write_card(folder, "slt_hf/demo")


def main() -> None:
    options = parse_arguments()
    torch.set_num_threads(options.threads)
    model, processor = load(options.resume) if options.resume else build(options.seed)
    print(f"{sum(weights.numel() for weights in model.parameters()) / 1e6:.1f} million parameters")
    heard: dict[str, Source] = {
        "sentence_heard": bundled_streams.Heard(SOURCES["sentence"]),
        "lone": bundled_streams.lone,
        "brief": bundled_streams.brief,
    }
    sources: dict[str, Source] = (
        SOURCES | heard | (bundled_recordings.sources(options.recordings) if options.recordings else {})
    )
    weights = {name: float(weight) for name, _, weight in (each.partition("=") for each in options.mix)}
    mix = {name: (sources[name], weight) for name, weight in weights.items() if name in sources}
    settings = processor.feature_extractor.settings
    if options.minutes:
        with ExampleStore(mix, all_targets(), settings, options.capacity, options.workers, options.seed) as store:
            store.wait_for(min(options.capacity, 4000))
            for stage in options.stages:
                print(stage, flush=True)
                STAGES[stage](model.train(), processor, store, options)
                save(model, processor, options.output)
    save(model, processor, options.output)
    if options.test_size:
        calibrate(options.output)
        describe(options.output, options.test_size, options.recordings)


if __name__ == "__main__":
    main()
