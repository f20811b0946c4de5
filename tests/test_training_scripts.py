"""The three stages, run as a user runs them, on a handful of made-up clips."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slt_hf import SignClassifier, SignTranslator
from slt_hf.data.manifest import Sample, write_manifest
from slt_hf.errors import RecipeError
from slt_hf.processing.landmarks import get_layout
from slt_hf.processing.pose_files import PoseClip, write_pose

WORDS = ["hello", "tree", "house", "water"]
TINY_ENCODER = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "part_hidden_size": 16,
    "graph_hidden_size": 8,
    "dropout": 0.0,
}
TINY_T5 = {
    "model_type": "t5",
    "d_model": 32,
    "d_kv": 8,
    "num_heads": 4,
    "d_ff": 32,
    "num_layers": 1,
    "dropout_rate": 0.0,
}
COMMON = {
    "layout": "holistic_75",
    "max_steps": 2,
    "per_device_train_batch_size": 4,
    "report_to": "none",
    "use_cpu": True,
    "save_strategy": "no",
    "eval_strategy": "steps",
    "eval_steps": 2,
    "encoder_config": TINY_ENCODER,
    "disable_tqdm": True,
    "dataloader_pin_memory": False,
}


def moving_clip(number: int, frames: int = 12) -> PoseClip:
    """A signer whose right hand moves in a direction of its own per `number`."""
    rng = np.random.default_rng(number)
    layout = get_layout("holistic_75")
    still = rng.uniform(100, 400, (1, layout.num_points, 3)).repeat(frames, 0)
    still[:, 11], still[:, 12] = (300, 200, 0), (200, 200, 0)
    angle = np.pi * number / len(WORDS)
    path = np.linspace(0, 80, frames)[:, None] * (np.cos(angle), np.sin(angle), 0)
    still[:, 54:] += path[:, None]
    return PoseClip(still.astype(np.float32), np.ones(still.shape[:2], np.float32), "holistic_75", 25.0, 500, 500)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of eight training and four dev clips, and a tokenizer for its words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("corpus")
    samples = []
    for row in range(12):
        word = row % 4
        write_pose(moving_clip(word, 12 + row), folder / f"{row}.pose")
        split = "train" if row < 8 else "dev"
        samples.append(
            Sample(id=f"c{row}", pose=f"{row}.pose", text=WORDS[word], gloss=WORDS[word], split=split, language="eng")
        )
    write_manifest(samples, folder / "manifest.csv")
    vocabulary = {name: i for i, name in enumerate(["<pad>", "</s>", "<unk>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    from tokenizers.processors import TemplateProcessing

    tokenizer.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
    fast.save_pretrained(folder / "tokenizer")
    return folder


def run(script: str, repository: Path, corpus: Path, output: Path, **options: object) -> Path:
    """Run a script in this process with a recipe made of `options`."""
    import yaml

    recipe = {**COMMON, "dataset": [str(corpus / "manifest.csv")], "tokenizer": str(corpus / "tokenizer"), **options}
    recipe = {key: value for key, value in recipe.items() if value is not None} | {"output_dir": str(output)}
    output.mkdir(parents=True, exist_ok=True)
    (output / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    argv, sys.argv = sys.argv, [script, str(output / "recipe.yaml")]
    try:
        runpy.run_path(str(repository / "scripts" / script))["main"]()
    finally:
        sys.argv = argv
    return output


def test_a_translation_run_leaves_a_folder_that_translates(repository: Path, corpus: Path, tmp_path: Path) -> None:
    folder = run(
        "train_translation.py",
        repository,
        corpus,
        tmp_path / "run",
        text_config=TINY_T5,
        max_steps=80,
        eval_steps=80,
        learning_rate=0.003,
        lr_scheduler_type="constant",
    )
    translator = SignTranslator.from_pretrained(folder)
    assert [t.text for t in translator([str(corpus / f"{row}.pose") for row in range(4)])] == WORDS
    predictions = (folder / "predictions" / "step-000080.csv").read_text().splitlines()
    assert predictions[0] == "id,reference,hypothesis" and len(predictions) == 5
    assert "eval_chrf" in json.loads((folder / "trainer_state.json").read_text())["log_history"][-2]
    card = (folder / "README.md").read_text()
    told = ["manifest.csv (split train, 8 clips)", "| hardware | CPU", "learning_rate: 0.003", "steps | 80", "nrefs:1"]
    assert all(text in card for text in told) and re.search(r"commit [0-9a-f]{40}|no checkout", card)
    assert str(corpus) not in card and str(folder) not in card, "folders of this machine are nobody's business"


def test_a_ctc_run_leaves_a_folder_that_translates(repository: Path, corpus: Path, tmp_path: Path) -> None:
    folder = run("train_translation.py", repository, corpus, tmp_path / "run", head="ctc", target="gloss")
    assert isinstance(SignTranslator.from_pretrained(folder)(str(corpus / "0.pose")).text, str)


def test_a_classification_run_names_signs(repository: Path, corpus: Path, tmp_path: Path) -> None:
    folder = run(
        "train_isolated_signs.py",
        repository,
        corpus,
        tmp_path / "run",
        target="gloss",
        tokenizer=None,
        class_balanced=True,
        max_steps=60,
        eval_steps=60,
        learning_rate=0.003,
    )
    classifier = SignClassifier.from_pretrained(folder)
    labels = classifier([str(corpus / f"{row}.pose") for row in range(4)], top_k=2)
    assert [answer.label for answer in labels] == WORDS
    assert all(len(answer.labels) == 2 for answer in labels)
    dev = classifier([str(corpus / f"{row}.pose") for row in range(8, 12)])
    assert classifier.unknown_threshold == pytest.approx(min(answer.labels[0][1] for answer in dev), abs=1e-5)
    found = json.loads((folder / "dictionary_results.json").read_text())
    assert found["recall_at_1"] == found["mrr"] == found["dcg"] == 1.0


def test_the_contrastive_encoder_starts_a_translation_run(repository: Path, corpus: Path, tmp_path: Path) -> None:
    first = run("train_contrastive.py", repository, corpus, tmp_path / "contrastive", text_config=TINY_T5, chunk_size=2)
    second = run(
        "train_translation.py",
        repository,
        corpus,
        tmp_path / "translation",
        text_config=TINY_T5,
        encoder=str(first),
        processor=str(first),
        frames_per_batch=64,
        lora_r=2,
    )
    assert SignTranslator.from_pretrained(second).processor.feature_extractor.layout == "holistic_75"
    assert (second / "adapter" / "adapter_config.json").is_file()


def test_an_unknown_key_names_its_neighbour(repository: Path, corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="did you mean learning_rate"):
        run("train_translation.py", repository, corpus, tmp_path / "run", learnin_rate=1)


def test_the_test_split_cannot_choose_a_checkpoint(repository: Path, corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="name dev or validation"):
        run("train_translation.py", repository, corpus, tmp_path / "run", text_config=TINY_T5, eval_split="test")


@pytest.mark.parametrize(
    "script, options, message",
    [
        ("train_contrastive.py", {"text_config": TINY_T5}, "chunk_size bounds the memory"),
        ("train_isolated_signs.py", {"target": "gloss", "tokenizer": None, "class_balanced": True}, "one of the two"),
    ],
)
def test_batches_by_frames_are_refused_where_clips_are_drawn_otherwise(
    script: str, options: dict[str, Any], message: str, repository: Path, corpus: Path, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=message):
        run(script, repository, corpus, tmp_path / "run", frames_per_batch=64, **options)


def test_half_precision_is_refused_for_t5(
    repository: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RecipeError, match="overflow"):
        run("train_translation.py", repository, corpus, tmp_path / "run", text_config=TINY_T5, fp16=True)
    with pytest.raises(RecipeError, match="expected one of None, float32, bfloat16"):
        run("train_translation.py", repository, corpus, tmp_path / "run", text_config=TINY_T5, dtype="float16")
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp16")  # `accelerate launch --mixed_precision fp16`
    with pytest.raises(RecipeError, match="accelerate's mixed_precision"):
        run("train_translation.py", repository, corpus, tmp_path / "run", text_config=TINY_T5)


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(repository: Path, corpus: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    recipe = {
        **COMMON,
        "text_config": TINY_T5,
        "dataset": [str(corpus / "manifest.csv")],
        "max_steps": 4,
        "learning_rate": 0.01,
    }
    recipe |= {
        "tokenizer": str(corpus / "tokenizer"),
        "lr_scheduler_type": "constant",
        "train_sampling_strategy": "sequential",
    }
    recipe |= {"logging_steps": 1, "eval_strategy": "no"}
    import yaml

    weights, losses = [], []
    for processes, batch in ((1, 8), (2, 4)):
        output = tmp_path / str(processes)
        output.mkdir()
        own = {**recipe, "per_device_train_batch_size": batch, "output_dir": str(output)}
        (output / "recipe.yaml").write_text(yaml.safe_dump(own))
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(processes), "--standalone"]
        command = [*torchrun, str(repository / "scripts/train_translation.py"), str(output / "recipe.yaml")]
        subprocess.run(command, check=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"}, cwd=repository)
        weights.append(load_file(output / "model.safetensors"))
        log = json.loads((output / "trainer_state.json").read_text())["log_history"]
        losses.append([entry["loss"] for entry in log if "loss" in entry])
    np.testing.assert_allclose(losses[0], losses[1], atol=1e-5)
    for name, value in weights[0].items():
        np.testing.assert_allclose(value, weights[1][name], atol=1e-5, err_msg=name)


def losses(folder: Path) -> dict[int, float]:
    log = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    return {entry["step"]: entry["loss"] for entry in log if "loss" in entry}


class Crash(Exception):
    """Stands for a lost machine."""


RANDOM = {  # random states must come back, too
    "text_config": {**TINY_T5, "dropout_rate": 0.2}, "encoder_config": {**TINY_ENCODER, "dropout": 0.2}, "tempo": 0.2,
    "noise": 0.01,
}  # fmt: skip
SIGNS = {"tokenizer": None, "text_config": None, "target": "gloss", "class_balanced": True}
RESUMED: dict[str, tuple[str, dict[str, Any]]] = {
    "clips and joined clips": ("train_translation.py", {"stitching": {"samples": 5, "lengths": [1, 2], "tempo": 0.3}}),
    "frames": ("train_translation.py", {"frames_per_batch": 64}),
    "thawing": ("train_translation.py", {"unfreeze_at_epoch": {"text_model.": 1}, "layerwise_lr_decay": 0.9}),
    "adapters": ("train_translation.py", {"lora_r": 2, "learning_rate": 0.01}),
    "contrastive": ("train_contrastive.py", {"chunk_size": 2}),
    "balanced signs": ("train_isolated_signs.py", SIGNS),
    "signs in variants": ("train_isolated_signs.py", {**SIGNS, "class_balanced": False, "variants_per_clip": 2}),
}


@pytest.mark.parametrize(
    "kind",
    [pytest.param(name, marks=() if name in ("frames", "balanced signs") else pytest.mark.slow) for name in RESUMED],
)
def test_a_resumed_run_has_the_losses_of_an_undisturbed_one(
    kind: str, repository: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, own = RESUMED[kind]
    if "stitching" in own:
        own = {"stitching": {**own["stitching"], "dataset": [str(corpus / "manifest.csv")]}}
    options = RANDOM | {"max_steps": 9, "per_device_train_batch_size": 3, "logging_steps": 1} | own
    options |= {"save_strategy": "steps", "save_steps": 2, "eval_strategy": "no"}
    undisturbed = losses(run(script, repository, corpus, tmp_path / "whole", **options))
    for point in np.random.default_rng().choice(np.arange(3, 9), 2, replace=False):

        def crash(
            self: object, args: object, state: Any, control: object, at: int = int(point), **kwargs: object
        ) -> None:
            if state.global_step == at:
                raise Crash

        with monkeypatch.context() as patch, pytest.raises(Crash):
            patch.setattr("slt_hf.training.sign_trainer.EpochCallback.on_step_end", crash, raising=False)
            run(script, repository, corpus, tmp_path / f"at{point}", **options)
        resumed = losses(run(script, repository, corpus, tmp_path / f"at{point}", resume=True, **options))
        assert resumed == pytest.approx(undisturbed, abs=1e-6), f"crashed at step {point}"


@pytest.mark.slow
def test_a_run_killed_by_the_system_goes_on_as_if_undisturbed(repository: Path, corpus: Path, tmp_path: Path) -> None:
    """kill -9 of a real process, a moment after its first checkpoint: in the middle of a step or of saving."""
    options = {
        "text_config": {**TINY_T5, "dropout_rate": 0.2}, "max_steps": 30, "per_device_train_batch_size": 3,
        "logging_steps": 1, "save_strategy": "steps", "save_steps": 2, "eval_strategy": "no",
    }  # fmt: skip
    undisturbed = losses(run("train_translation.py", repository, corpus, tmp_path / "whole", **options))
    killed = tmp_path / "killed"
    killed.mkdir()
    recipe = (tmp_path / "whole" / "recipe.yaml").read_text().replace(str(tmp_path / "whole"), str(killed))
    (killed / "recipe.yaml").write_text(recipe)
    script = str(repository / "scripts" / "train_translation.py")
    process = subprocess.Popen([sys.executable, script, str(killed / "recipe.yaml")], cwd=repository)
    while process.poll() is None and not (killed / "checkpoint-2" / "trainer_state.json").exists():
        time.sleep(0.01)
    time.sleep(np.random.default_rng().uniform(0, 0.3))
    process.kill()
    assert process.wait() != 0 and not (killed / "model.safetensors").exists(), "it was still at work"
    resumed = losses(run("train_translation.py", repository, corpus, killed, resume=True, **options))
    assert resumed == pytest.approx(undisturbed, abs=1e-6)


def test_a_checkpoint_cut_off_while_saving_is_passed_over(tmp_path: Path) -> None:
    from slt_hf.training.resuming import newest_checkpoint

    for step, content in ((5, "{}"), (10, '{"cut'), (15, None)):
        (tmp_path / f"checkpoint-{step}").mkdir()
        if content is not None:
            (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(content)
    assert newest_checkpoint(tmp_path) == tmp_path / "checkpoint-5"


@pytest.mark.slow
def test_a_run_published_to_the_hub_is_resumed_from_there_on_a_new_machine(
    repository: Path, corpus: Path, tmp_path: Path, hub_server: Any
) -> None:
    import yaml

    recipe = {**COMMON, "dataset": [str(corpus / "manifest.csv")], "tokenizer": str(corpus / "tokenizer")}
    recipe |= {"text_config": TINY_T5, "eval_strategy": "no", "save_strategy": "steps", "save_steps": 2}
    recipe |= {"push_to_hub": True, "hub_model_id": "org/run", "hub_strategy": "checkpoint", "logging_steps": 1}
    script = str(repository / "scripts" / "train_translation.py")
    for machine, options in (("first", {"max_steps": 4}), ("second", {"max_steps": 6, "resume": True})):
        own = {**recipe, **options, "output_dir": str(tmp_path / machine), "lr_scheduler_type": "constant"}
        (tmp_path / f"{machine}.yaml").write_text(yaml.safe_dump(own))
        hub_server.run([sys.executable, script, str(tmp_path / f"{machine}.yaml")])
    published = hub_server.files("org/run")
    assert {"model.safetensors", "config.json", "processor_config.json", "README.md"} <= published.keys()
    assert "modeling_sign_to_text.py" in published and "last-checkpoint/trainer_state.json" in published
    log = json.loads((tmp_path / "second" / "trainer_state.json").read_text())["log_history"]
    assert [entry["step"] for entry in log if "loss" in entry] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    "tracker, written",
    [
        ("tensorboard", "tensorboard/events.out.tfevents.*"),
        ("trackio", "trackio/*.db*"),
        ("wandb", "wandb/offline-run-*/*.wandb"),
        ("mlflow", "mlflow.db"),
    ],
)
@pytest.mark.slow
def test_runs_are_tracked_offline(
    tracker: str, written: str, repository: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = {
        "WANDB_MODE": "offline",
        "TRACKIO_DIR": "trackio",
        "TENSORBOARD_LOGGING_DIR": "tensorboard",
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    package = pytest.importorskip(tracker, reason=f"{tracker} is an optional tracker; pip install 'slt_hf[tracking]'")
    options = {"text_config": TINY_T5, "report_to": tracker, "logging_steps": 1, "eval_strategy": "no"}
    run("train_translation.py", repository, corpus, tmp_path / "run", **options)
    if tracker == "wandb":
        package.finish()  # else it writes when the process ends
    assert sum(path.stat().st_size for path in tmp_path.glob(written)) > 1000  # W&B's file is compressed, so: its size


@pytest.mark.parametrize("bits", ["8bit", "4bit"])
@pytest.mark.slow
def test_a_quantised_text_model_trains_through_adapters_and_leaves_a_plain_checkpoint(
    bits: str, repository: Path, corpus: Path, tmp_path: Path
) -> None:
    pytest.importorskip("bitsandbytes", reason="few bits need bitsandbytes; pip install 'slt_hf[quantization]'")
    from safetensors.numpy import load_file
    from transformers import T5Config, T5ForConditionalGeneration

    sizes = {"d_model": 128, "d_kv": 64, "num_heads": 2, "d_ff": 128, "num_layers": 1}  # its blocks hold 64 weights
    text = T5ForConditionalGeneration(T5Config(vocab_size=7, decoder_start_token_id=0, **sizes))
    text.save_pretrained(tmp_path / "text")
    options = {"text_model": str(tmp_path / "text"), "quantization": bits, "lora_r": 4, "learning_rate": 0.01}
    folder = run("train_translation.py", repository, corpus, tmp_path / "run", max_steps=4, **options)
    assert SignTranslator.from_pretrained(folder)(str(corpus / "0.pose")).text is not None
    saved = load_file(folder / "model.safetensors")
    assert {str(weight.dtype) for weight in saved.values()} == {"float32"}
    name = "text_model.encoder.block.0.layer.0.SelfAttention.q.weight"
    difference = np.abs(saved[name] - text.state_dict()[name.removeprefix("text_model.")].numpy())
    assert 0 < difference.mean() < 0.1, "adapters are merged into what quantisation left of the weights"
