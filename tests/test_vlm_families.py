"""Vision-language models beside InternVL: the same turns, the same training, the same answers, without torchvision."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from test_vlm import CLIP, TINY, manifest, run  # noqa: F401
from tiny_vlm import FAMILIES

from slt_hf.pipeline import SignTranslator
from slt_hf.vlm.checkpoint import is_vlm, load_vlm
from slt_hf.vlm.quantization import quantization_config

# Tokens; of 64 x 48 pixels
PER_FRAME = {"qwen2_5_vl": 12, "idefics3": 4, "smolvlm": 4, "llava": 16, "llava_onevision": 17}
SEEING = {
    "qwen2_5_vl": ["model.visual"],
    "idefics3": ["model.vision_model", "model.connector"],
    "smolvlm": ["model.vision_model", "model.connector"],
    "llava": ["model.vision_tower", "model.multi_modal_projector"],
    "llava_onevision": ["model.vision_tower", "model.multi_modal_projector"],
}


@pytest.fixture(scope="module", params=list(FAMILIES))
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp(request.param) / "tiny"
    torch.manual_seed(0)
    FAMILIES[request.param](folder)
    return request.param, folder


def test_frames_are_numbered_pictures_and_only_the_answer_is_trained_on(family: tuple[str, Path]) -> None:
    name, folder = family
    processor, model = load_vlm(folder, "cpu")
    batch = processor([CLIP, CLIP[:1]], text=["book", "a much longer answer"])
    trained = [processor.tokenizer.decode(row[row != -100]) for row in batch["labels"]]
    assert trained == ["book<|im_end|>", "a much longer answer<|im_end|>"]
    asked = processor.tokenizer.decode(batch["input_ids"][0])
    assert [f"Frame{number}: " in asked for number in (1, 8, 9)] == [True, True, False]
    seen = int((batch["input_ids"][0] == model.config.image_token_id).sum())
    assert seen == 8 * PER_FRAME[name]  # one picture a frame, no tiles
    with torch.no_grad():
        alone = model(**processor(CLIP, text="book")).logits[0]
        torch.testing.assert_close(model(**batch).logits[0, : len(alone)], alone, atol=1e-4, rtol=1e-4)


def test_the_translator_answers(family: tuple[str, Path]) -> None:
    _, folder = family
    assert is_vlm(folder)
    translator = SignTranslator.from_pretrained(folder, device="cpu")
    alone, together = translator(CLIP, max_new_tokens=4), translator([CLIP, CLIP[:1]], max_new_tokens=4)[0]
    assert alone.text == together.text and alone.confidence == pytest.approx(together.confidence, rel=1e-3)


def test_a_smolvlm_that_names_a_video_processor_loads_without_it(tmp_path: Path) -> None:
    """As SmolVLM2 lies on the Hub: what torchvision would be needed for is left aside, also in what is saved again."""
    FAMILIES["smolvlm"](tmp_path / "own")
    path = tmp_path / "own" / "processor_config.json"
    told = json.loads(path.read_text())
    assert "video_processor" not in told and told["processor_class"] == "SmolVLMProcessor"
    videos = {"video_processor_type": "SmolVLMVideoProcessor", "num_frames": 64, "fps": 1}
    path.write_text(json.dumps(told | {"video_processor": videos}))
    processor, _ = load_vlm(tmp_path / "own", "cpu")
    processor.processor.save_pretrained(tmp_path / "again")
    assert processor(CLIP)["input_ids"].shape[0] == 1
    assert json.loads((tmp_path / "again" / "processor_config.json").read_text()) == told


def test_few_bits_are_of_the_language_model_alone(family: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    name, folder = family
    from transformers import AutoConfig

    monkeypatch.setattr("slt_hf.vlm.quantization.find_spec", lambda _: True)
    few: Any = quantization_config("8bit", AutoConfig.from_pretrained(folder))
    assert few.llm_int8_skip_modules == [*SEEING[name], "lm_head"]


def train(folder: Path, manifest: Path, output: Path, repository: Path, **options: Any) -> Path:  # noqa: F811
    recipe = yaml.safe_load((repository / "scripts/recipes/internvl3_isolated_signs.yaml").read_text())
    del recipe["quantization"]
    recipe |= TINY | {"model_name_or_path": str(folder), "dataset": [str(manifest)], "output_dir": str(output / "run")}
    (output / "recipe.yaml").write_text(yaml.safe_dump(recipe | options))
    with pytest.MonkeyPatch.context() as patch:
        run(output / "recipe.yaml", patch, repository)
    return output / "run"


@pytest.mark.slow
def test_adapters_of_its_attention_are_trained_and_load(
    family: tuple[str, Path], manifest: Path, tmp_path: Path, repository: Path  # noqa: F811
) -> None:
    from safetensors import safe_open

    _, folder = family
    trained = train(folder, manifest, tmp_path, repository)
    with safe_open(trained / "adapter_model.safetensors", "pt") as file:
        names = list(file.keys())
        assert len(names) == 2 * 2 * 4  # A and B, two layers, q k v o
        assert all(file.get_tensor(name).abs().max() > 0 for name in names if "lora_B" in name)
    assert all(("language_model" in name or "text_model" in name) and "self_attn" in name for name in names)
    assert json.loads((trained / "evaluation.json").read_text())["items"]["references"] == 2
    answered = SignTranslator.from_pretrained(trained, device="cpu")(np.flip(CLIP, 0).copy(), max_new_tokens=3)
    assert 0 < answered.confidence < 1
