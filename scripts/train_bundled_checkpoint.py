"""Train the checkpoint that ships with the package: it translates what the synthetic signer signs.

    python scripts/train_bundled_checkpoint.py --minutes 25 --output outputs/bundled
    python scripts/train_bundled_checkpoint.py --minutes 0 --resume outputs/bundled --output slt_hf/checkpoints/demo

The second line measures and saves without training. Sentences are made while training runs; nothing is downloaded,
and nothing but our own grammar, lexicon and names goes in. Metrics are measured on sentences and signers that training
never saw (`slt_hf/demonstration.py` keeps them apart) and written into the card.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import nn
from transformers import T5Config

from slt_hf.data.example_store import Example, ExampleStore
from slt_hf.demonstration import SOURCES, all_targets, sign_unseen, training_texts
from slt_hf.evaluation.text_metrics import score_text
from slt_hf.model_card import write_card
from slt_hf.modeling import PoseEncoderConfig, SignToTextConfig, SignToTextForConditionalGeneration
from slt_hf.modeling.modeling_pose_encoder import ctc_loss
from slt_hf.pipeline import SignTranslator
from slt_hf.processing.feature_extraction_pose import PoseFeatureExtractor
from slt_hf.processing.processing_pose import PoseProcessor
from slt_hf.training.word_tokenizer import train_word_tokenizer

# B batch, T frames, V landmarks, C coordinates

SAVE_EVERY = 200  # steps
LOSSES = "translation {:.3f} ctc {:.3f} timed {:.3f}"
TEXT_MODEL = {"d_model": 192, "d_kv": 32, "num_heads": 6, "d_ff": 512, "num_layers": 1, "num_decoder_layers": 3}

CARD = {
    "title": "slt_hf demo",
    "summary": "It reads what the synthetic signer of `slt_hf` signs: it is there so that everything can be tried "
    "without a download, and says nothing about people's signing.",
    "license": "apache-2.0",
    "language": "en",
    "sign_language": "none: a made-up language with a lexicon after ASL",
    "data": "Clips of the synthetic signer (`slt_hf/synthesis`), made while training ran: sentences of its grammar, "
    "random signs, random fingerspelled letters; two fifths of the clips with noise. No recording of a person is among "
    "them. Test sentences, their names and their signers are not in training. Made by "
    "`scripts/train_bundled_checkpoint.py`.",
    "limits": [
        "It does not understand people. Real signing is more varied than anything it has seen.",
        "It knows the 200 signs of the lexicon, fingerspelling with the letters a to z, and the grammar of `slt_hf`.",
        "Noise costs accuracy; see the noisy clips above.",
    ],
}  # fmt: skip


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder for the checkpoint")
    parser.add_argument("--resume", type=Path, help="folder of a checkpoint to go on from")
    parser.add_argument("--begin", type=float, default=0, help="share of the schedule that --resume has behind it")
    parser.add_argument("--minutes", type=float, default=25, help="of processor time for training")
    parser.add_argument("--mix", nargs="+", default=["sentence=0.75", "word=0.1", "signs=0.15"], help="source=weight")
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
    tokenizer = train_word_tokenizer(training_texts(4000, seed))
    text = T5Config(
        vocab_size=len(tokenizer),
        feed_forward_proj="gated-gelu",
        decoder_start_token_id=tokenizer.pad_token_id,
        **TEXT_MODEL,
    )
    encoder = PoseEncoderConfig(chunk_frames=16)  # so that a live translator can feed it frame by frame
    config = SignToTextConfig(
        encoder_config=encoder.to_dict(),
        text_config=text.to_dict(),
        text_encoder="skip",
        ctc_vocab_size=1 + len(all_targets()),
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
    made = np.flatnonzero(example.frame_targets)  # most of the rest before and after is left out, most of the time
    first, last = max(0, made[0] - rng.integers(2, 16)), min(len(example.poses) - 1, made[-1] + rng.integers(2, 16))
    length = max(8, round((last - first + 1) * rng.uniform(0.7, 1.15)))
    places = np.linspace(first, last, length).round().astype(int)
    poses = example.poses[places].astype(np.float32)
    turn = np.eye(2) * rng.uniform(0.92, 1.08, 2) + rng.normal(0, 0.04, (2, 2))
    moved = poses[..., :2] @ turn.T.astype(np.float32) + rng.normal(0, 0.03, 2)
    moved += rng.normal(0, rng.uniform(0, 0.012), moved.shape)
    poses[..., :2] = np.where(poses[..., 2:] > 0, moved, 0)
    for hand in (slice(11, 32), slice(32, 53)):
        if rng.random() < 0.15:
            start = rng.integers(length)
            poses[start : start + rng.integers(2, 8), hand] = 0
    return poses, example.frame_targets[places]


def train(model: nn.Module, processor: PoseProcessor, store: ExampleStore, options: argparse.Namespace) -> None:
    """AdamW with warm-up and a last third that slows down; the running mean of the weights is what is kept."""
    rng = np.random.default_rng(options.seed)
    optimizer = torch.optim.AdamW(parameter_groups(model), betas=(0.9, 0.98))
    mean = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.995))
    store.take_in(at_least=200)
    started, told, sums = time.process_time(), time.process_time(), np.zeros(4)
    for step, examples in enumerate(store.batches(rng, options.frames)):
        done = options.begin + (1 - options.begin) * (time.process_time() - started) / (60 * options.minutes)
        if done >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = options.learning_rate * min((step + 1) / 100, 1, (1 - done) / 0.3)
        each = losses(model, collate(examples, processor, rng))
        sum(weight * loss for weight, loss in zip(weights_at(done), each, strict=True)).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        mean.update_parameters(model)
        sums += (1, *(loss.item() for loss in each))
        if time.process_time() - told > 30:
            told, average = time.process_time(), sums[1:] / sums[0]
            print(f"{done:4.0%} step {step} made {store.made} " + LOSSES.format(*average), flush=True)
            sums[:] = 0
        if step % SAVE_EVERY == SAVE_EVERY - 1:
            save(mean.module, processor, options.output)
    model.load_state_dict(mean.module.state_dict())


def weights_at(done: float) -> tuple[float, float, float]:
    """Weights of `losses`: signs are first learned from when they are made, and CTC takes over once it has a footing.

    Begun at once, CTC first learns to say nothing at all, and the rest with it.
    """
    return (0.3, 0.0, 1.0) if done < 0.2 else (1.0, 0.2, 0.5) if done < 0.6 else (1.0, 0.3, 0.0)


def parameter_groups(model: nn.Module) -> list[dict[str, Any]]:
    """Weight decay on matrices only."""
    matrices = [weights for weights in model.parameters() if weights.ndim > 1]
    others = [weights for weights in model.parameters() if weights.ndim <= 1]
    return [{"params": matrices, "weight_decay": 0.02}, {"params": others, "weight_decay": 0.0}]


def losses(model: Any, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Cross-entropy a text token, CTC a target, cross-entropy a step against what is made at that time."""
    gloss_labels, frame_labels = batch.pop("gloss_labels"), batch.pop("frame_labels")
    tokens = (batch["labels"] != -100).sum().clamp(min=1)
    output = model(**batch, num_items_in_batch=tokens)
    mask = model.encoder.downsample_mask(batch["attention_mask"])
    padded = nn.functional.pad(frame_labels, (0, -frame_labels.shape[1] % model.config.encoder_config.stride), value=-1)
    steps = padded.unflatten(1, (mask.shape[1], -1)).amax(-1)  # a step shows what either of its frames shows
    logits = output.ctc_logits.float().flatten(0, 1)
    weights = torch.ones(logits.shape[-1])
    weights[0] = 0.3  # half of all steps are on the way from one sign to the next
    timed = nn.functional.cross_entropy(logits, steps.flatten(), weights, ignore_index=-1)
    return output.loss, ctc_loss(output.ctc_logits, mask, gloss_labels, blank=0), timed.nan_to_num()


def save(model: Any, processor: PoseProcessor, folder: Path) -> None:
    """float16 on disk, float32 in use; without the code, which the package has."""
    folder.mkdir(parents=True, exist_ok=True)
    model.generation_config.max_new_tokens = 64
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


def measure(folder: Path, test_size: int, noisy: bool) -> dict[str, float]:
    """Scores of unseen sentences by unseen signers, with the checkpoint as saved. Shows the first mistakes."""
    drawn = [sign_unseen(seed=seed, noisy=noisy) for seed in range(test_size)]
    references = [reference for reference, _, _ in drawn]
    translations = SignTranslator.from_pretrained(folder, device="cpu")([clip for _, clip, _ in drawn], batch_size=16)
    found = [translation.text for translation in translations]
    wrong = [(said, read) for said, read in zip(references, found, strict=True) if said != read]
    print(f"{'noisy' if noisy else 'clean'}: {len(wrong)} of {test_size} wrong")
    for said, read in wrong[:20]:
        print(f"  {said!r} -> {read!r}")
    return score_text(found, references, names=["exact_match", "bleu_4", "chrf", "wer"])


def describe(folder: Path, test_size: int) -> None:
    """Measure, and write what was measured into `card.yaml` and the card."""
    metrics = [
        {
            "name": name,
            "value": round(value, 2),
            "dataset": f"synthetic sentences, {kind} clips",
            "split": f"test, n={test_size}",
        }
        for kind in ("clean", "noisy")
        for name, value in measure(folder, test_size, kind == "noisy").items()
    ]
    facts = CARD | {"metrics": metrics}
    (folder / "card.yaml").write_text(yaml.safe_dump(facts, sort_keys=False, allow_unicode=True, width=110))
    write_card(folder, "slt_hf/demo")


def main() -> None:
    options = parse_arguments()
    torch.set_num_threads(options.threads)
    model, processor = load(options.resume) if options.resume else build(options.seed)
    print(f"{sum(weights.numel() for weights in model.parameters()) / 1e6:.1f} million parameters")
    mix = {name: (SOURCES[name], float(weight)) for name, _, weight in (each.partition("=") for each in options.mix)}
    settings = processor.feature_extractor.settings
    if options.minutes:
        with ExampleStore(mix, all_targets(), settings, options.capacity, options.workers, options.seed) as store:
            train(model.train(), processor, store, options)
    save(model.eval(), processor, options.output)
    if options.test_size:
        describe(options.output, options.test_size)


if __name__ == "__main__":
    main()
