"""Every recipe, two steps, with a tiny model of the same kind in place of the one it names."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

RECIPES = sorted((Path(__file__).resolve().parent.parent / "scripts" / "recipes").glob("*.yaml"))
SMALL = {"vocab_size": 64, "pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
T5 = {"model_type": "t5", "d_model": 32, "d_kv": 8, "num_heads": 4, "d_ff": 32, "num_layers": 1, **SMALL}
BART = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 4, "bos_token_id": 2} | {
    "decoder_attention_heads": 4, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "max_position_embeddings": 600, **SMALL
}  # fmt: skip
# What a recipe names -> a config of the same kind
TEXT_MODELS = {
    "t5": T5, "mt5": {**T5, "model_type": "mt5"}, "umt5": {**T5, "model_type": "umt5"},
    "bart": {**BART, "model_type": "bart"}, "mbart": {**BART, "model_type": "mbart"},
    "nllb": {**BART, "model_type": "m2m_100"}, "m2m100": {**BART, "model_type": "m2m_100"},
    "pegasus": {**BART, "model_type": "pegasus"},
}  # fmt: skip
TINY_ENCODER = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
OVERRIDES = {
    "max_steps": 2, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 1, "use_cpu": True, "bf16": False,
    "eval_strategy": "steps", "eval_steps": 2, "save_strategy": "steps", "save_steps": 2, "disable_tqdm": True,
    "dataloader_pin_memory": False, "encoder_config": TINY_ENCODER, "max_eval_samples": 2, "logging_steps": 1,
    "warmup_steps": 0, "variants_per_clip": 1,
}  # fmt: skip


def kind(name: str) -> str:
    """Family of a Hub model by its name: google-t5/t5-small is t5."""
    short = name.split("/")[-1].lower().replace("_", "-")
    return next(family for family in sorted(TEXT_MODELS, key=len, reverse=True) if short.startswith(family))


def tiny_text_model(recipe: dict[str, Any], folder: Path, vocabulary: int) -> str:
    """A folder with a random model of the recipe's kind."""
    from transformers import AutoConfig, AutoModelForSeq2SeqLM, BertConfig, BertModel

    if recipe.get("decoder_model"):
        bert = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 32}
        config = BertConfig(vocab_size=64, max_position_embeddings=600, **bert)
        BertModel(config).save_pretrained(folder)
        return str(folder)
    fields = {**TEXT_MODELS[kind(recipe["text_model"])], "vocab_size": vocabulary}
    AutoModelForSeq2SeqLM.from_config(AutoConfig.for_model(fields.pop("model_type"), **fields)).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four training and two dev clips of the synthetic signer with their manifest, and a tokenizer for their words."""
    from slt_hf.data.manifest import Sample, write_manifest
    from slt_hf.processing.pose_files import write_pose
    from slt_hf.synthesis import make_sample
    from slt_hf.training.word_tokenizer import train_word_tokenizer

    folder, samples = tmp_path_factory.mktemp("clips"), []
    for index in range(6):
        made = make_sample(index, "train", layout="signing_85")
        write_pose(made.clip, folder / f"{index}.pose")
        split = "train" if index < 4 else "dev"
        gloss = "FIRST" if index % 2 else "SECOND"
        samples.append(
            Sample(id=str(index), pose=f"{index}.pose", text=made.text, gloss=gloss, language="eng", split=split)
        )
    write_manifest(samples, folder / "manifest.jsonl")
    train_word_tokenizer([sample.text or "" for sample in samples], min_count=1).save_pretrained(folder / "tokenizer")
    return folder


@pytest.fixture(scope="module")
def videos(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same sentences for grey videos, and a VideoMAE of the kind that the recipes start from."""
    from test_video import make_video
    from tiny_checkpoints import VIDEOMAE
    from transformers import VideoMAEConfig, VideoMAEModel

    from slt_hf.convert_i3d import i3d_extractor
    from slt_hf.data.manifest import read_manifest, write_manifest
    from slt_hf.modeling import I3DConfig, I3DForVideoClassification

    folder, samples = tmp_path_factory.mktemp("videos"), read_manifest(clips / "manifest.jsonl")
    for sample in samples:
        sample.pose, sample.video = None, make_video(folder / f"{sample.id}.mp4", frames=20).name
    write_manifest(samples, folder / "manifest.jsonl")
    VideoMAEModel(VideoMAEConfig(**VIDEOMAE, use_mean_pooling=False)).save_pretrained(folder / "videomae-base")
    i3d = I3DConfig(width_multiplier=0.06, num_frames=16, image_size=32, num_labels=4)
    I3DForVideoClassification(i3d).save_pretrained(folder / "i3d")
    i3d_extractor(i3d).save_pretrained(folder / "i3d")  # as `slt-hf convert-i3d` does
    return folder


@pytest.fixture(scope="module")
def filmed(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of the clips with a grey video beside the poses of each."""
    from test_video import make_video

    from slt_hf.data.manifest import read_manifest, write_manifest
    from slt_hf.processing.pose_files import read_pose_header

    folder, samples = tmp_path_factory.mktemp("filmed"), read_manifest(clips / "manifest.jsonl")
    for sample in samples:
        frames = read_pose_header(str(sample.pose)).num_frames
        sample.video = make_video(folder / f"{sample.id}.mp4", frames=frames).name
    write_manifest(samples, folder / "manifest.jsonl")
    return folder


def script_of(path: Path) -> str:
    if path.stem.startswith("real_"):  # make_real.py runs these, and says by which script
        found = re.search(rf'"{path.stem[5:]}": "(train_\w+\.py)"', (path.parent.parent / "make_real.py").read_text())
        assert found
        return found[1]
    return next(
        line.split("scripts/")[1].split()[0] for line in path.read_text().splitlines() if "scripts/train_" in line
    )


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(p, marks=() if p.stem == "t5_small" else pytest.mark.slow, id=p.stem)
        for p in RECIPES
        if not p.stem.startswith("internvl3")  # tests/test_vlm.py runs those
    ],
)
def test_recipe_trains(
    path: Path, clips: Path, tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch, request: Any
) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    recipe = yaml.safe_load(path.read_text())
    named = str(recipe.pop("encoder", ""))
    recipe |= OVERRIDES | {"dataset": [str(clips / "manifest.jsonl")], "output_dir": str(tmp_path / "run")}
    if "videomae" in named or "i3d" in named:
        videos = request.getfixturevalue("videos")
        encoder = videos / ("i3d" if "i3d" in named else "videomae-base")
        recipe |= {"dataset": [str(videos / "manifest.jsonl")], "encoder": str(encoder)}
        recipe |= {"encoder_config": None, "dataloader_num_workers": 0}
    if "hand_crop_width" in recipe:
        filmed = request.getfixturevalue("filmed")
        recipe |= {"dataset": [str(filmed / "manifest.jsonl")], "dataloader_num_workers": 0}
    for name in ("processor", "quantization", "language_codes"):  # earlier stages, GPUs, real vocabularies
        recipe.pop(name, None)
    if script_of(path) != "train_isolated_signs.py":
        recipe["tokenizer"] = str(clips / "tokenizer")
    if "text_model" in recipe:
        recipe["text_model"] = tiny_text_model(recipe, tmp_path / "text", 400)
    if recipe.get("decoder_model"):
        GPT2LMHeadModel(GPT2Config(vocab_size=400, n_embd=32, n_layer=1, n_head=4)).save_pretrained(tmp_path / "gpt2")
        recipe["decoder_model"] = str(tmp_path / "gpt2")
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    monkeypatch.setattr(sys, "argv", [script_of(path), str(tmp_path / "recipe.yaml")])
    runpy.run_path(str(repository / "scripts" / script_of(path)))["main"]()
    assert (tmp_path / "run" / "model.safetensors").is_file() and (tmp_path / "run" / "README.md").is_file()


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_recipe_says_source_and_memory(path: Path) -> None:
    header = "\n".join(line for line in path.read_text().splitlines() if line.startswith("#")).lower()
    assert "source" in header
    if path.stem.startswith("real_"):
        assert "make real" in header and "thread" in header
    else:
        assert "hardware" in header and "memory" in header and script_of(path)


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_header_states_the_batch_and_rate_that_the_recipe_sets(path: Path) -> None:
    recipe = yaml.safe_load(path.read_text())
    header = "\n".join(line for line in path.read_text().splitlines() if line.startswith("#"))
    stated = re.search(r"[Bb]atch (\d+) x (\d+), learning rate ([\d.e-]+\d)", header)
    assert stated, "expected `Batch CLIPS x ACCUMULATED, learning rate RATE` in the header"
    accumulated = recipe.get("gradient_accumulation_steps", 1)
    found = [recipe["per_device_train_batch_size"], accumulated, float(recipe["learning_rate"])]
    assert [float(number) for number in stated.groups()] == found


EARLIER_ISIGN_RECIPES = {
    "t5_small": (64, 3e-4), "t5_base": (32, 3e-4), "t5_large": (16, 1e-4), "bart_large": (16, 5e-5),
    "mbart50": (8, 3e-5), "mt5_large": (12, 5e-5), "t5_3b_lora": (4, 1e-4),
}  # fmt: skip


@pytest.mark.parametrize("name", EARLIER_ISIGN_RECIPES)
def test_recipes_start_from_batch_and_rate_of_the_earlier_isign_system(name: str) -> None:
    recipe = yaml.safe_load((RECIPES[0].parent / f"{name}.yaml").read_text())
    found = (recipe["per_device_train_batch_size"], float(recipe["learning_rate"]))
    assert found == EARLIER_ISIGN_RECIPES[name]
