"""A saved folder works in a Python that cannot import slt_hf, and gives the same numbers there."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_checkpoints import VIDEOMAE

torch = pytest.importorskip("torch")

from transformers import UMT5Config  # noqa: E402

from slt_hf.modeling import (  # noqa: E402
    I3DConfig,
    I3DForVideoClassification,
    I3DModel,
    PoseEncoderConfig,
    PoseEncoderForCTC,
    PoseEncoderForSignClassification,
    PoseEncoderModel,
    SignTextDualEncoderConfig,
    SignTextDualEncoderModel,
    SignToTextConfig,
    SignToTextForConditionalGeneration,
    VideoEncoderConfig,
    VideoEncoderModel,
)

POSE = PoseEncoderConfig(
    num_landmarks=42, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, vocab_size=5
)
VIDEO = VideoEncoderConfig(backbone_config={"model_type": "videomae", **VIDEOMAE}, window_stride=4)
TEXT = UMT5Config(vocab_size=40, d_model=32, d_kv=8, d_ff=64, num_layers=1, num_heads=4)

ELSEWHERE = """
import sys
sys.modules["slt_hf"] = None  # an import of it now fails

import torch
import transformers
from pathlib import Path

for folder in sorted(Path(sys.argv[1]).iterdir()):
    expected = torch.load(folder / "expected.pt")
    for auto in expected["auto"]:
        torch.manual_seed(0)
        model = getattr(transformers, auto).from_pretrained(folder, trust_remote_code=True).eval()
        assert type(model).__name__ == expected["auto"][auto], (auto, type(model))
        with torch.no_grad():
            output = model(**expected["inputs"])
        torch.testing.assert_close(output[expected["key"]], expected["output"], atol=1e-6, rtol=1e-6)
    if "tokens" in expected:
        clips = {name: value for name, value in expected["inputs"].items() if name != "labels"}
        tokens = model.generate(**clips, max_new_tokens=5, num_beams=2)
        assert torch.equal(tokens, expected["tokens"])
        model.save_pretrained(Path(sys.argv[2]) / folder.name)  # travels on from there
assert not [name for name in sys.modules if name.startswith("slt_hf.")]
"""


def write(model, folder: Path, key: str, auto: dict[str, str], inputs: dict, **more):
    model.eval().save_pretrained(folder)
    with torch.no_grad():
        output = model(**inputs)[key]
    torch.save({"key": key, "auto": auto, "inputs": inputs, "output": output, **more}, folder / "expected.pt")


def run_elsewhere(folder: Path, onward: Path, home: Path):
    environment = {**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    subprocess.run(
        [sys.executable, "-c", ELSEWHERE, str(folder), str(onward)], check=True, env=environment, cwd=home, timeout=280
    )


def test_saved_folders_work_where_slt_hf_is_not_installed(tmp_path: Path):
    torch.manual_seed(0)
    poses = {"pose_values": torch.rand(2, 12, 42, 3)}
    texts = {"labels": torch.tensor([[5, 6, 1], [7, 1, -100]])}
    folder, home, onward = tmp_path / "saved", tmp_path / "home", tmp_path / "onward"
    home.mkdir()

    write(PoseEncoderModel(POSE), folder / "encoder", "last_hidden_state", {"AutoModel": "PoseEncoderModel"}, poses)
    write(
        PoseEncoderForSignClassification(POSE),
        folder / "classifier",
        "logits",
        {"AutoModelForVideoClassification": "PoseEncoderForSignClassification"},
        poses,
    )
    write(PoseEncoderForCTC(POSE), folder / "ctc", "logits", {"AutoModelForCTC": "PoseEncoderForCTC"}, poses)
    dual = SignTextDualEncoderModel(SignTextDualEncoderConfig(encoder_config=POSE, text_config=TEXT))
    tokens = {"input_ids": torch.tensor([[5, 6, 7], [8, 9, 1]])}
    write(dual, folder / "dual", "logits_per_sign", {"AutoModel": "SignTextDualEncoderModel"}, {**poses, **tokens})

    translator = SignToTextForConditionalGeneration(SignToTextConfig(encoder_config=POSE, text_config=TEXT)).eval()
    name = "SignToTextForConditionalGeneration"
    generated = translator.generate(**poses, max_new_tokens=5, num_beams=2)
    auto = {"AutoModel": name, "AutoModelForSeq2SeqLM": name}
    write(translator, folder / "translator", "logits", auto, {**poses, **texts}, tokens=generated)

    joined = SignToTextConfig(encoder_config=POSE, text_config=TEXT, hand_crop_width=4)
    fused = SignToTextForConditionalGeneration(joined).eval()
    torch.nn.init.constant_(fused.hand_crops.gate, 0.8)  # closed, crops would change nothing
    crops = {
        "crop_values": torch.randint(0, 256, (2, 12, 2, 3, 16, 16), dtype=torch.uint8),
        "crop_mask": torch.ones(2, 12, 2, dtype=torch.long),
    }
    both = fused.generate(**poses, **crops, max_new_tokens=5, num_beams=2)
    write(fused, folder / "fused", "logits", auto, {**poses, **crops, **texts}, tokens=both)

    frames = {"pixel_values": torch.rand(2, 11, 3, 16, 16), "attention_mask": torch.ones(2, 11, dtype=torch.long)}
    frames["attention_mask"][1, 5:] = 0
    watcher = SignToTextForConditionalGeneration(SignToTextConfig(encoder_config=VIDEO, text_config=TEXT)).eval()
    seen = watcher.generate(**frames, max_new_tokens=5, num_beams=2)
    write(watcher, folder / "watcher", "logits", auto, {**frames, **texts}, tokens=seen)
    sees = I3DForVideoClassification(I3DConfig(width_multiplier=0.06, num_labels=3))
    small = {"pixel_values": torch.rand(2, 9, 3, 32, 32)}
    auto_i3d = {"AutoModelForVideoClassification": "I3DForVideoClassification"}
    write(sees, folder / "i3d", "logits", auto_i3d, small)
    write(I3DModel(sees.config), folder / "i3d_features", "last_hidden_state", {"AutoModel": "I3DModel"}, small)
    write(VideoEncoderModel(VIDEO), folder / "video", "last_hidden_state", {"AutoModel": "VideoEncoderModel"}, frames)

    run_elsewhere(folder, onward, home)
    loaded = SignToTextForConditionalGeneration.from_pretrained(onward / "translator").eval()
    assert torch.equal(loaded.generate(**poses, max_new_tokens=5, num_beams=2), generated)
    assert {path.name for path in (onward / "translator").glob("*.py")} == {
        path.name for path in (folder / "translator").glob("*.py")
    }


def test_model_code_imports_only_what_a_users_machine_has(repository: Path):
    allowed = {"torch", "transformers", "numpy", "huggingface_hub", *sys.stdlib_module_names}
    for path in (repository / "modeling").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert {alias.name.split(".")[0] for alias in node.names} <= allowed, path.name
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                assert node.module and node.module.split(".")[0] in allowed, path.name
            elif isinstance(node, ast.ImportFrom):
                sibling = repository / "modeling" / f"{node.module}.py"
                assert node.level == 1 and sibling.is_file(), f"{path.name}: only siblings are copied to the Hub"


def test_file_names_are_unique_over_both_folders_that_travel(repository: Path):
    names = [path.name for folder in ("modeling", "processing") for path in (repository / folder).glob("*.py")]
    names = [name for name in names if name != "__init__.py"]
    assert len(names) == len(set(names))
