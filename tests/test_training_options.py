"""Options of a recipe, in runs as a user makes them: languages, schedules, the choice of a checkpoint."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import jiwer
import pytest
import torch
import yaml
from test_training_parts import m2m100_tokenizer, sentencepiece_folder  # noqa: F401
from test_training_scripts import COMMON, TINY_T5, WORDS, corpus, moving_clip, run  # noqa: F401
from typer.testing import CliRunner

from slt_hf import SignTranslator
from slt_hf.cli.main import app
from slt_hf.data.manifest import read_manifest, write_manifest
from slt_hf.data.tables import read_table
from slt_hf.model_card import read_facts
from slt_hf.processing.pose_files import write_pose
from slt_hf.training.translation_trainer import translation_scores

GERMAN = ["hallo", "baum", "haus", "wasser"]


@pytest.fixture(scope="module")
def two_languages(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """The clips of `corpus` with German texts, and a tokenizer with both languages and a token for each."""
    from transformers import PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("german")
    samples = read_manifest(corpus / "manifest.csv")
    for row, sample in enumerate(samples):
        write_pose(moving_clip(row % 4, 12 + row), folder / f"{row}.pose")
        sample.id, sample.pose, sample.language = f"d{row}", f"{row}.pose", "deu"
        sample.text = GERMAN[WORDS.index(str(sample.text))]
    write_manifest(samples, folder / "manifest.csv")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(corpus / "tokenizer")
    tokenizer.add_tokens(GERMAN)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<eng>", "<deu>"]})
    tokenizer.save_pretrained(folder / "tokenizer")
    return folder


def log_of(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / "trainer_state.json").read_text())["log_history"]


@pytest.mark.slow
def test_mixed_corpora_are_answered_in_the_language_that_is_asked_for(
    repository: Path,
    corpus: Path,  # noqa: F811
    two_languages: Path,
    tmp_path: Path,
) -> None:
    """The same signing stands for two texts: only the forced first token tells which one."""
    manifests = [str(corpus / "manifest.csv"), str(two_languages / "manifest.csv")]
    folder = run(
        "train_translation.py", repository, corpus, tmp_path / "run", dataset=manifests, text_config=TINY_T5,
        tokenizer=str(two_languages / "tokenizer"), language_codes={"eng": "<eng>", "deu": "<deu>"},
        max_steps=40, eval_strategy="epoch", eval_steps=None, save_strategy="epoch", save_total_limit=1,
        per_device_train_batch_size=8, learning_rate=0.003, lr_scheduler_type="constant", label_smoothing_factor=0.1,
        load_best_model_at_end=True, metric_for_best_model="eval_chrf", early_stopping_evaluations=4,
        predictions_format="parquet", max_target_tokens=8,
    )  # fmt: skip
    translator = SignTranslator.from_pretrained(folder, device="cpu")
    clips = [str(corpus / f"{row}.pose") for row in range(4)]
    for language, words in (("eng", WORDS), ("deu", GERMAN)):
        assert {found.text for found in translator(clips, language=language)} <= set(words), language
        options = ["--model", str(folder), "--language", language, "--device", "cpu", "--json"]
        told = CliRunner().invoke(app, ["translate", clips[0], *options], catch_exceptions=False).stdout
        assert json.loads(told)["translation"] in words

    state = json.loads((folder / "trainer_state.json").read_text())
    scores = [entry for entry in state["log_history"] if "eval_chrf" in entry]
    assert {"eval_eng_chrf", "eval_deu_chrf", "eval_deu_wer"} <= scores[-1].keys()
    written = sorted((folder / "predictions").glob("*.parquet"))
    assert len(written) == len(scores), "predictions of every epoch"

    best = max(entry["eval_chrf"] for entry in scores)
    assert state["best_metric"] == best and state["global_step"] <= 40
    rows = read_table(written[-1]).rows
    said = [
        translator(str(corpus / f"{row['id'][1:]}.pose"), language="deu" if row["id"].startswith("d") else "eng").text
        for row in rows
    ]
    kept = translation_scores(said, [row["reference"] for row in rows])
    assert kept["chrf"] == pytest.approx(best), "the best checkpoint is what was saved"


def test_glosses_of_a_ctc_head_are_scored_by_word_error_rate(
    repository: Path,
    corpus: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    options = {"head": "ctc", "target": "gloss", "metric_for_best_model": "eval_wer", "greater_is_better": False}
    run("train_translation.py", repository, corpus, tmp_path / "run", **options)
    [scores] = [entry for entry in log_of(tmp_path / "run") if "eval_wer" in entry]
    rows = read_table(next((tmp_path / "run" / "predictions").glob("*.csv"))).rows
    said, asked = ([str(row[column] or "") for row in rows] for column in ("hypothesis", "reference"))
    assert asked == WORDS and scores["eval_wer"] == pytest.approx(jiwer.wer(asked, said))


def test_layers_thaw_and_learn_at_rates_of_their_own(
    repository: Path,
    corpus: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    """Two steps an epoch: the text model is frozen for the first, and learns from the second on, its bottom slower."""
    from safetensors.torch import load_file

    options = {
        "text_config": TINY_T5, "eval_strategy": "no", "save_strategy": "epoch", "max_steps": 4,
        "freeze": ["encoder."], "unfreeze_at_epoch": {"text_model.": 1}, "layerwise_lr_decay": 0.1,
        "lr_scheduler_type": "constant", "learning_rate": 0.01, "optim": "sgd", "max_grad_norm": 0.0,
    }  # fmt: skip
    folder = run("train_translation.py", repository, corpus, tmp_path / "run", **options)
    first, last = (load_file(folder / name / "model.safetensors") for name in ("checkpoint-2", "checkpoint-4"))
    changed = {name for name in first if not torch.equal(first[name], last[name])}
    assert not any(name.startswith("encoder.") for name in changed)
    assert any(name.startswith("text_model.decoder.block") for name in changed)
    groups = torch.load(folder / "checkpoint-4" / "optimizer.pt", weights_only=True)["param_groups"]
    rates = {round(group["lr"], 6) for group in groups}
    assert max(rates) == 0.01 and min(rates) < 0.01


def test_a_run_stops_when_dev_no_longer_improves_and_keeps_its_best_checkpoint(
    repository: Path,
    corpus: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    from safetensors.torch import load_file

    options = {
        "text_config": TINY_T5, "max_steps": 200, "learning_rate": 0.01, "lr_scheduler_type": "constant",
        "eval_steps": 10, "save_strategy": "steps", "save_steps": 10, "load_best_model_at_end": True,
        "metric_for_best_model": "eval_chrf", "greater_is_better": True, "early_stopping_evaluations": 2,
    }  # fmt: skip
    folder = run("train_translation.py", repository, corpus, tmp_path / "run", **options)
    state = json.loads((folder / "trainer_state.json").read_text())
    scores = {entry["step"]: entry["eval_chrf"] for entry in state["log_history"] if "eval_chrf" in entry}
    best = max(scores, key=lambda step: (scores[step], -step))
    assert scores[best] > min(scores.values()), "it learned"
    assert state["global_step"] == best + 20 < 200, "two evaluations without a better one end the run"
    [on_card] = [score["value"] for score in read_facts(folder)["metrics"] if score["name"] == "loss"]
    dev_losses = {entry["step"]: entry["eval_loss"] for entry in state["log_history"] if "eval_loss" in entry}
    assert on_card == round(dev_losses[best], 4) != round(dev_losses[best + 20], 4), "scores of what is kept"
    kept, chosen, last = (
        load_file(place / "model.safetensors")
        for place in (folder, folder / f"checkpoint-{best}", folder / f"checkpoint-{best + 20}")
    )
    assert all(torch.equal(kept[name], chosen[name]) for name in chosen)
    assert any(not torch.equal(kept[name], last[name]) for name in last)


@pytest.mark.slow
def test_patience_is_not_renewed_by_a_crash(
    repository: Path,
    corpus: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing improves from the first evaluation on: three more end the run, with a crash among them or without."""
    options = {
        "text_config": TINY_T5, "max_steps": 20, "learning_rate": 0.0, "eval_steps": 1, "save_strategy": "steps",
        "save_steps": 1, "load_best_model_at_end": True, "metric_for_best_model": "eval_chrf",
        "early_stopping_evaluations": 3,
    }  # fmt: skip

    def crash(self: object, args: object, state: Any, control: object, **kwargs: object) -> None:
        if state.global_step == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("slt_hf.training.sign_trainer.EpochCallback.on_step_end", crash, raising=False)
        run("train_translation.py", repository, corpus, tmp_path / "run", **options)
    folder = run("train_translation.py", repository, corpus, tmp_path / "run", resume=True, **options)
    state = json.loads((folder / "trainer_state.json").read_text())
    assert (state["global_step"], state["best_global_step"]) == (4, 1)


@pytest.mark.parametrize("options", [{"label_smoothing_factor": 0.2}, {"head": "ctc", "target": "gloss"}], ids=str)
def test_accumulated_batches_learn_what_one_batch_learns(
    options: dict[str, Any],
    repository: Path,
    corpus: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    """With smoothed labels, and with targets of different lengths, too: the loss is a sum over the whole batch."""
    from safetensors.torch import load_file

    samples = read_manifest(corpus / "manifest.csv")
    for place, sample in enumerate(samples):
        sample.text = sample.gloss = " ".join(WORDS[(place + more) % 4] for more in range(1 + place % 3))
    write_manifest(samples, tmp_path / "manifest.csv")
    found = []
    for accumulated in (1, 4):
        folder = run(
            "train_translation.py", repository, corpus, tmp_path / str(accumulated), **options,
            dataset=[str(tmp_path / "manifest.csv")], text_config=None if "head" in options else TINY_T5, max_steps=2,
            per_device_train_batch_size=8 // accumulated, gradient_accumulation_steps=accumulated, eval_strategy="no",
            train_sampling_strategy="sequential", optim="sgd", learning_rate=0.05, lr_scheduler_type="constant",
            logging_steps=1,
        )  # fmt: skip
        losses = [entry["loss"] for entry in log_of(folder) if "loss" in entry]
        found.append((losses, load_file(folder / "model.safetensors")))
    (one, whole), (other, parts) = found
    assert other == pytest.approx(one, abs=1e-5) and one[0] != one[1]
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, atol=1e-5, rtol=0, msg=name)


@pytest.mark.slow
def test_half_precision_and_checkpointed_activations_change_little(
    repository: Path,
    corpus: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    losses = {}
    for name, options in {
        "plain": {}, "checkpointed": {"gradient_checkpointing": True}, "bf16": {"bf16": True},
    }.items():  # fmt: skip
        folder = run(
            "train_translation.py", repository, corpus, tmp_path / name, text_config=TINY_T5, max_steps=6,
            logging_steps=1, learning_rate=0.003, eval_steps=6, **options,
        )  # fmt: skip
        losses[name] = [entry["loss"] for entry in log_of(folder) if "loss" in entry]
    assert losses["checkpointed"] == pytest.approx(losses["plain"], abs=1e-5)
    assert losses["bf16"] == pytest.approx(losses["plain"], abs=0.05) and losses["bf16"] != losses["plain"]


@pytest.mark.slow
@pytest.mark.parametrize("text_encoder, asked", [("use", "language"), ("skip", "sign_language")])
def test_a_prompt_chooses_the_language(
    text_encoder: str,
    asked: str,
    repository: Path,
    corpus: Path,  # noqa: F811
    two_languages: Path,
    tmp_path: Path,
) -> None:
    """For text models without language tokens, and for the sign language, which no token tells."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast.from_pretrained(two_languages / "tokenizer")
    tokenizer.add_tokens(["eng", "deu", "from"])
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    manifests: list[str] = []
    for source in (corpus, two_languages):
        samples = read_manifest(source / "manifest.csv")
        for sample in samples:
            sample.language, sample.sign_language = None, None
            setattr(sample, asked, "eng" if source == corpus else "deu")
        manifests.append(str(tmp_path / f"{len(manifests)}.csv"))
        write_manifest(samples, manifests[-1])
    folder = run(
        "train_translation.py", repository, corpus, tmp_path / "run", dataset=manifests, text_config=TINY_T5,
        tokenizer=str(tmp_path / "tokenizer"), prompt=f"from {{{asked}}}", text_encoder=text_encoder,
        max_steps=150, eval_steps=150, per_device_train_batch_size=16, learning_rate=0.01, max_target_tokens=8,
        lr_scheduler_type="constant",
    )  # fmt: skip
    translator = SignTranslator.from_pretrained(folder, device="cpu")
    clips = [str(corpus / f"{row}.pose") for row in range(4)]
    for language, words in (("eng", WORDS), ("deu", GERMAN)):
        wanted: dict[str, Any] = {asked: language}
        assert {found.text for found in translator(clips, **wanted)} <= set(words), language


@pytest.mark.slow
def test_shards_and_the_hub_are_learned_from_as_manifests_are(
    repository: Path,
    corpus: Path,  # noqa: F811
    tmp_path: Path,
    hub_server: Any,
) -> None:
    """The same clips prepared into shards, and published: the same losses, but for how points are stored."""
    from slt_hf.data.preparation import PreparationSettings, prepare

    prepare(corpus / "manifest.csv", tmp_path / "shards", PreparationSettings(workers=1, licence="cc0-1.0"))
    hub_server.run([sys.executable, "-m", "slt_hf.cli.main", "push-dataset", str(tmp_path / "shards"), "signs/words"])
    losses = {}
    for name in (str(corpus / "manifest.csv"), str(tmp_path / "shards"), "signs/words"):
        folder = tmp_path / Path(name).name
        recipe = COMMON | {"text_config": TINY_T5, "tokenizer": str(corpus / "tokenizer"), "dataset": [name]}
        recipe |= {"logging_steps": 1, "max_steps": 3, "eval_steps": 3, "train_sampling_strategy": "sequential"}
        recipe |= {"max_frames": 100, "output_dir": str(folder / "run")}
        folder.mkdir(exist_ok=True)
        (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
        script = str(repository / "scripts" / "train_translation.py")
        hub_server.run([sys.executable, script, str(folder / "recipe.yaml")])
        losses[name] = [entry["loss"] for entry in log_of(folder / "run") if "loss" in entry]
    manifest, shards, hub = losses.values()
    assert shards == pytest.approx(manifest, abs=1e-2) and hub == pytest.approx(shards, abs=1e-6)


@pytest.mark.slow
def test_m2m100_is_trained_and_asked_by_its_own_language_tokens(
    repository: Path,
    corpus: Path,  # noqa: F811
    two_languages: Path,
    sentencepiece_folder: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    """The recipe's codes, with a tiny model and a tokenizer of M2M100's kind."""
    from transformers import M2M100Config, M2M100ForConditionalGeneration

    m2m100_tokenizer(sentencepiece_folder).save_pretrained(tmp_path / "text")
    half = {"layers": 1, "attention_heads": 4, "ffn_dim": 32, "layerdrop": 0.0}
    sizes = {f"{part}_{name}": value for part in ("encoder", "decoder") for name, value in half.items()}
    sizes |= {"dropout": 0.0, "attention_dropout": 0.0}
    config = M2M100Config(vocab_size=160, d_model=32, max_position_embeddings=300, **sizes)
    M2M100ForConditionalGeneration(config).save_pretrained(tmp_path / "text")
    recipe = yaml.safe_load((repository / "scripts" / "recipes" / "m2m100.yaml").read_text())
    manifests = [str(corpus / "manifest.csv"), str(two_languages / "manifest.csv")]
    folder = run(
        "train_translation.py", repository, corpus, tmp_path / "run", dataset=manifests, tokenizer=None,
        text_model=str(tmp_path / "text"), language_codes=recipe["language_codes"], max_target_tokens=12,
        max_steps=250, eval_steps=250, per_device_train_batch_size=16, learning_rate=0.003,
    )  # fmt: skip
    translator = SignTranslator.from_pretrained(folder, device="cpu")
    clips = [str(corpus / f"{row}.pose") for row in range(4)]
    for language, words in (("eng", WORDS), ("deu", GERMAN)):
        assert {found.text for found in translator(clips, language=language)} <= set(words), language
