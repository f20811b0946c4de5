"""Vision-language models: what is asked and trained on, two steps of training, adapters that load, answers."""

from __future__ import annotations

import csv
import json
import runpy
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from test_video import make_video
from tiny_vlm import save_vlm

from slt_hf.errors import CheckpointError, RecipeError
from slt_hf.pipeline import SignTranslator
from slt_hf.vlm.checkpoint import is_vlm, load_vlm
from slt_hf.vlm.settings import load_settings, read_prompt

CLIP = np.random.default_rng(0).integers(0, 256, (20, 48, 64, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return save_vlm(tmp_path_factory.mktemp("vlm") / "InternVL3-tiny")


@pytest.fixture(scope="module")
def loaded(base) -> tuple[Any, Any]:
    return load_vlm(base, "cpu")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> Path:
    """Three videos of each of two signs, without splits."""
    from slt_hf.data.manifest import Sample, write_manifest

    folder = tmp_path_factory.mktemp("signs")
    rows = []
    for number in range(6):
        make_video(folder / f"{number}.mp4", frames=10 + number)
        gloss = "book" if number % 2 else "drink"
        rows.append(Sample(str(number), video=f"{number}.mp4", gloss=gloss, text=f"A {gloss}."))
    write_manifest(rows, folder / "manifest.csv")
    return folder / "manifest.csv"


def test_only_the_answer_is_trained_on(loaded):
    processor, _ = loaded
    batch = processor([CLIP, CLIP[:3]], text=["book", "Grüße an alle"])
    trained = [processor.tokenizer.decode(row[row != -100]) for row in batch["labels"]]
    assert trained == ["book<|im_end|>", "Grüße an alle<|im_end|>"]
    seen = batch["labels"] != -100
    assert (batch["labels"][seen] == batch["input_ids"][seen]).all() and (batch["attention_mask"][seen] == 1).all()


def test_question_comes_after_numbered_frames_as_in_internvls_videos(loaded):
    processor, _ = loaded
    told = processor.tokenizer.decode(processor(CLIP)["input_ids"][0])
    picture = "<img>" + 4 * "<IMG_CONTEXT>" + "</img>\n"
    frames = "".join(f"Frame{number}: {picture}" for number in range(1, 9))
    question = read_prompt("translate")
    assert told == f"<|im_start|>user\n{frames}{question}<|im_end|>\n<|im_start|>assistant\n"


def test_frames_are_spread_over_the_clip_and_are_never_tiles(loaded):
    processor, _ = loaded
    counting = np.zeros((80, 48, 128, 3), np.uint8) + np.arange(80, dtype=np.uint8)[:, None, None, None]
    from slt_hf.processing.video_clip import to_video_clip

    pictures = processor.pictures(to_video_clip(counting))
    assert [np.asarray(picture)[0, 0, 0] for picture in pictures] == [5, 15, 25, 35, 45, 55, 65, 75]
    assert processor(counting)["pixel_values"].shape == (8, 3, 32, 32)


def test_still_picture_is_one_frame(loaded, tmp_path):
    from PIL import Image

    processor, _ = loaded
    Image.fromarray(CLIP[0]).save(tmp_path / "still.png")
    for source in (tmp_path / "still.png", (tmp_path / "still.png").read_bytes(), CLIP[0]):
        assert processor(source)["pixel_values"].shape == (1, 3, 32, 32)


def test_box_and_mirror_of_a_clip_are_seen(loaded):
    from slt_hf.processing.video_clip import VideoClip

    processor, _ = loaded
    whole, part = processor.pictures(VideoClip(CLIP)), processor.pictures(VideoClip(CLIP, box=(0, 0, 0.5, 1)))
    assert whole[0].size == (64, 48) and part[0].size == (32, 48)
    turned = processor.pictures(VideoClip(CLIP, mirrored=True))
    assert (np.asarray(turned[0])[:, ::-1] == np.asarray(whole[0])).all()


def test_loss_does_not_depend_on_batch_mates(loaded):
    processor, model = loaded
    with torch.no_grad():
        alone = model(**processor(CLIP, text="book")).logits[0]
        together = model(**processor([CLIP, CLIP[:9]], text=["book", "a much longer answer"])).logits[0, : len(alone)]
    torch.testing.assert_close(alone, together, atol=1e-4, rtol=1e-4)


def test_translator_answers_and_does_not_depend_on_batch_mates(base):
    translator = SignTranslator.from_pretrained(base, device="cpu")
    assert translator.reads_video
    alone = translator(CLIP, max_new_tokens=4)
    together = translator([CLIP, CLIP[:1]], max_new_tokens=4)[0]
    assert alone.text == together.text and 0 < alone.confidence < 1
    assert alone.confidence == pytest.approx(together.confidence, rel=1e-3)


def test_what_is_asked_comes_from_yaml(tmp_path):
    assert "one word" in read_prompt("identify") and "concise" in read_prompt("translate")
    (tmp_path / "mine.yaml").write_text("dgs: Was wird gebärdet?\n", encoding="utf-8")
    assert read_prompt("dgs", tmp_path / "mine.yaml") == "Was wird gebärdet?"
    with pytest.raises(RecipeError, match="a prompt named asl, found dgs"):
        read_prompt("asl", tmp_path / "mine.yaml")


def test_manifest_without_splits_is_divided_within_each_gloss(manifest, tmp_path):
    from slt_hf.data.manifest import read_manifest
    from slt_hf.training.vlm_arguments import VlmDataArguments
    from slt_hf.training.vlm_data import open_split, write_divisions

    data = VlmDataArguments(dataset=[str(manifest)], target="gloss")
    glosses = {split: sorted(open_split(data, split, None).column("gloss")) for split in ("train", "dev", "test")}
    assert glosses == {split: ["book", "drink"] for split in ("train", "dev", "test")}
    write_divisions(data, tmp_path)
    written = read_manifest(tmp_path / "manifest-divided.csv", split="test")
    assert [sample.id for sample in written] == open_split(data, "test", None).ids()


def run(recipe: Path, monkeypatch: pytest.MonkeyPatch, repository: Path, **options: Any) -> None:
    argv = [str(recipe)]
    for name, value in options.items():
        argv += [f"--{name}", *([str(each) for each in value] if isinstance(value, list) else [str(value)])]
    monkeypatch.setattr(sys, "argv", ["train_vlm_sft.py", *argv])
    runpy.run_path(str(repository / "scripts/train_vlm_sft.py"))["main"]()


TINY = {
    "max_steps": 2, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 1, "use_cpu": True, "bf16": False,
    "gradient_checkpointing": False, "dataloader_num_workers": 0, "dataloader_pin_memory": False, "disable_tqdm": True,
    "dtype": "float32", "logging_steps": 1, "warmup_steps": 0, "max_new_tokens": 3, "num_frames": 2, "lora_r": 4,
    "lora_alpha": 8, "learning_rate": 0.05,
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(base, manifest, tmp_path_factory, repository) -> Path:
    """Two steps of the recipe for isolated signs."""
    folder = tmp_path_factory.mktemp("trained")
    recipe = yaml.safe_load((repository / "scripts/recipes/internvl3_isolated_signs.yaml").read_text())
    del recipe["quantization"]
    recipe |= TINY | {"model_name_or_path": str(base), "dataset": [str(manifest)], "output_dir": str(folder / "run")}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    with pytest.MonkeyPatch.context() as patch:
        run(folder / "recipe.yaml", patch, repository)
    return folder / "run"


def test_training_leaves_adapters_of_the_language_models_attention_alone(trained):
    from safetensors import safe_open

    with safe_open(trained / "adapter_model.safetensors", "pt") as file:
        names = list(file.keys())
        changed = [file.get_tensor(name).abs().max() > 0 for name in names if "lora_B" in name]
    assert len(names) == 2 * 2 * 4 and all(changed)  # A and B, two layers, q k v o
    assert all("language_model" in name and "self_attn" in name for name in names)
    assert not list(trained.glob("model*.safetensors"))
    settings = load_settings(trained)
    assert settings.num_frames == 2 and settings.question == read_prompt("identify")


def test_trained_checkpoint_loads_and_answers(trained, base, manifest, loaded):
    processor, model = load_vlm(trained, "cpu")
    inputs = processor(CLIP, text="book")
    with torch.no_grad():
        assert model(**inputs).loss != loaded[1](**inputs).loss  # the adapters do something
    translator = SignTranslator.from_pretrained(trained, device="cpu")
    found = translator([str(manifest.parent / "0.mp4"), CLIP], max_new_tokens=3)
    assert len(found) == 2 and all(translation.confidence > 0 for translation in found)


def test_training_ends_with_the_evaluators_report_and_a_card(trained):
    report = json.loads((trained / "evaluation.json").read_text())
    assert report["items"]["references"] == 2 and "exact_match" in report["scores"]
    assert (trained / "predictions.csv").read_text().count("\n") == 3
    card = (trained / "README.md").read_text()
    assert "rank 4, alpha 8" in card and "InternVL3-tiny" in card and "image-text-to-text" in card
    facts = yaml.safe_load((trained / "card.yaml").read_text())
    assert facts["training"]["recipe"]["learning_rate"] == 0.05 and facts["training"]["steps"] == 2
    assert facts["metrics"][0]["dataset"] == "manifest.csv"
    assert "$" not in card and str(trained.parent) not in card.replace(str(trained), "")


def test_evaluator_takes_the_checkpoint(trained, tmp_path):
    from slt_hf.evaluation.run import EvaluationArguments, run_evaluation

    manifest = next(trained.glob("*-divided.csv"))
    report = run_evaluation(EvaluationArguments(
        checkpoint=str(trained), data=str(manifest), split="test", reference_column="gloss", device="cpu",
    ))  # fmt: skip
    assert report is not None and report["items"]["references"] == 2


def test_a_classifier_is_the_baseline_on_the_same_split(trained, tmp_path):
    """Both commands of the guide: what the classifier said is written down, and tested against on the same rows."""
    from command_line import cli
    from test_convert_i3d import NARROW

    from slt_hf.convert_i3d import i3d_extractor
    from slt_hf.modeling import I3DConfig, I3DForVideoClassification

    names = {0: "book", 1: "drink"}
    other = I3DForVideoClassification(I3DConfig(id2label=names, image_size=32, num_frames=4, **NARROW))
    other.save_pretrained(tmp_path / "other")
    i3d_extractor(other.config).save_pretrained(tmp_path / "other")
    common = ("--data", next(trained.glob("*-divided.csv")), "--split", "test", "--reference-column", "gloss",
              "--device", "cpu", "--samples", 50)  # fmt: skip
    done = cli("evaluate", "--checkpoint", tmp_path / "other", *common, "--predictions", tmp_path / "other.csv")
    assert done.exit_code == 0, done.stderr
    baseline = ("--baseline", tmp_path / "other.csv", "--json", tmp_path / "report.json")
    done = cli("evaluate", "--checkpoint", trained, *common, *baseline)
    assert done.exit_code == 0, done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["baseline"] == "other" and report["items"]["references"] == 2
    rows = list(csv.DictReader((tmp_path / "other.csv").open(encoding="utf-8")))
    right = [json.loads(row["labels"])[0] == row["reference"] for row in rows]
    assert report["paired"]["metrics"]["exact_match"]["baseline"] == 100 * sum(right) / len(right)


def test_official_splits_are_kept(manifest, tmp_path):
    from slt_hf.data.manifest import read_manifest, write_manifest
    from slt_hf.training.vlm_arguments import VlmDataArguments
    from slt_hf.training.vlm_data import open_split, write_divisions

    samples = read_manifest(manifest)
    for sample, split in zip(samples, ("train", "test", "train", "dev", "dev", "train"), strict=True):
        sample.split = split
    write_manifest(samples, tmp_path / "official.csv")
    data = VlmDataArguments(dataset=[str(tmp_path / "official.csv")], target="gloss")
    assert [open_split(data, split, None).ids() for split in ("train", "dev", "test")] == [
        ["0", "2", "5"], ["3", "4"], ["1"],
    ]  # fmt: skip
    write_divisions(data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_command_line_translates_videos_and_pictures(trained, manifest, tmp_path):
    from command_line import cli
    from PIL import Image

    Image.fromarray(CLIP[0]).save(tmp_path / "still.png")
    done = cli("translate", manifest.parent / "0.mp4", tmp_path / "still.png", "--model", trained, "--json")
    assert done.exit_code == 0 and done.stdout.count('"translation"') == 2


def test_quantization_is_refused_in_words_where_it_cannot_run(trained, tiny_checkpoint, monkeypatch):
    from command_line import cli

    monkeypatch.setattr("slt_hf.vlm.quantization.find_spec", lambda name: None)
    with pytest.raises(RecipeError, match=r"expected bitsandbytes for 4bit, found none; pip install"):
        SignTranslator.from_pretrained(trained, quantization="4bit", device="cpu")
    with pytest.raises(RecipeError, match="expected one of 4bit, 8bit, found '2bit'"):
        SignTranslator.from_pretrained(trained, quantization="2bit", device="cpu")
    with pytest.raises(RecipeError, match="expected a vision-language model for 8bit"):
        SignTranslator.from_pretrained(tiny_checkpoint, quantization="8bit")
    done = cli("translate", "clip.mp4", "--model", trained, "--quantization", "8bit")
    assert done.exit_code == 2 and "expected bitsandbytes" in done.stderr


def test_adapters_of_another_model_are_refused(trained, tmp_path):
    folder = Path(shutil.copytree(trained, tmp_path / "copy"))
    told = json.loads((folder / "adapter_config.json").read_text())
    other = save_vlm(tmp_path / "other", width=64)
    (folder / "adapter_config.json").write_text(json.dumps(told | {"base_model_name_or_path": str(other)}))
    with pytest.raises(CheckpointError, match="loading the adapters failed|do not fit"):
        load_vlm(folder, "cpu")
    (folder / "adapter_model.safetensors").unlink()
    (folder / "adapter_config.json").write_text(json.dumps(told))
    with pytest.raises(CheckpointError, match="expected adapter_model.safetensors, found none"):
        load_vlm(folder, "cpu")


def test_adapters_and_their_model_travel_over_the_hub(trained, base, hub_server, monkeypatch, tmp_path):
    from slt_hf.hub import push_folder

    hub_server.stand_in(monkeypatch)
    whole, adapters = (Path(shutil.copytree(f, tmp_path / f.name)) for f in (base, trained))
    load_settings(base).save(whole)
    (whole / "card.yaml").write_text("{data: noise, limits: knows nothing, license: mit}\n")
    push_folder(whole, "org/internvl")
    told = json.loads((adapters / "adapter_config.json").read_text()) | {"base_model_name_or_path": "org/internvl"}
    (adapters / "adapter_config.json").write_text(json.dumps(told))
    (adapters / "README.md").unlink()
    push_folder(adapters, "org/signs")
    answers = [SignTranslator.from_pretrained(n, device="cpu")(CLIP, max_new_tokens=4) for n in ("org/signs", trained)]
    assert answers[0].text == answers[1].text and answers[0].confidence == answers[1].confidence


def test_way_is_chosen_from_the_files(base, trained, tiny_checkpoint, tmp_path):
    assert is_vlm(base) and is_vlm(trained) and not is_vlm(tiny_checkpoint) and not is_vlm(tmp_path)


@pytest.mark.slow
def test_merged_checkpoint_answers_as_the_adapters_do(trained, manifest, base, tmp_path, monkeypatch, repository):
    run(trained.parent / "recipe.yaml", monkeypatch, repository, output_dir=tmp_path / "merged", merge=True)
    assert not (tmp_path / "merged/adapter_config.json").exists()
    inputs = load_vlm(trained, "cpu")[0](CLIP, text="book")
    with torch.no_grad():
        losses = [load_vlm(folder, "cpu")[1](**inputs).loss for folder in (trained, tmp_path / "merged")]
    torch.testing.assert_close(*losses)


@pytest.mark.slow
def test_recipe_for_sentences_trains(base, manifest, tmp_path, monkeypatch, repository):
    recipe = yaml.safe_load((repository / "scripts/recipes/internvl3_translation.yaml").read_text())
    del recipe["quantization"]
    recipe |= TINY | {"model_name_or_path": str(base), "dataset": [str(manifest)], "output_dir": str(tmp_path / "run")}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    run(tmp_path / "recipe.yaml", monkeypatch, repository)
    assert "concise" in load_settings(tmp_path / "run").question


@pytest.mark.slow
def test_overfits_four_videos(base, manifest, tmp_path, monkeypatch, repository, trained):
    """It learns: the answers to its training clips come out to the letter."""
    from slt_hf.data.manifest import read_manifest, write_manifest

    samples = read_manifest(manifest)[:4]
    for number, sample in enumerate(samples):
        sample.split, sample.gloss = "train", ("red", "blue", "tea", "milk")[number]
        picture = np.zeros((48, 64, 3), np.uint8)
        picture[:, 16 * number : 16 * number + 16] = 255
        make_video(tmp_path / f"{number}.mp4", frames=8, picture=picture)
        sample.video = f"{number}.mp4"
    write_manifest(samples, tmp_path / "four.csv")
    run(
        trained.parent / "recipe.yaml", monkeypatch, repository, dataset=[tmp_path / "four.csv"], eval_split="train",
        output_dir=tmp_path / "run", max_steps=150, per_device_train_batch_size=4, max_new_tokens=6, lora_r=0,
        learning_rate=0.006, lr_scheduler_type="constant", logging_steps=50, eval_strategy="no",
        save_strategy="no", load_best_model_at_end=False, mirror=0,
    )  # fmt: skip
    assert json.loads((tmp_path / "run/evaluation.json").read_text())["scores"]["exact_match"]["score"] == 100


@pytest.mark.slow
def test_four_bits_train_and_answer(manifest, tmp_path, monkeypatch, repository, trained):
    pytest.importorskip("bitsandbytes")
    wide = save_vlm(tmp_path / "wide", width=128)
    run(
        trained.parent / "recipe.yaml", monkeypatch, repository, model_name_or_path=wide, output_dir=tmp_path / "run",
        quantization="4bit",
    )  # fmt: skip
    for kind in ("4bit", "8bit"):
        translator = SignTranslator.from_pretrained(tmp_path / "run", device="cpu", quantization=kind)
        names = {type(module).__name__ for module in translator.engine.model.modules()}
        assert any("4bit" in name if kind == "4bit" else "8bitLt" in name for name in names)
        seeing = translator.engine.model.get_submodule("base_model.model.model.vision_tower").modules()
        assert not any("bit" in type(module).__name__ for module in seeing)
        assert translator(CLIP, max_new_tokens=2).confidence > 0


@pytest.mark.slow
def test_stopped_run_goes_on_from_its_checkpoint(trained, tmp_path, monkeypatch, repository, capsys):
    folder = Path(shutil.copytree(trained, tmp_path / "run"))
    run(trained.parent / "recipe.yaml", monkeypatch, repository, output_dir=folder, max_steps=3, resume=True)
    state = json.loads((folder / "trainer_state.json").read_text())
    assert [entry["step"] for entry in state["log_history"] if "loss" in entry] == [1, 2, 3]
    assert capsys.readouterr().out.count("'loss'") == 1  # the first two steps were not done again
