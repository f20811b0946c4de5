"""Pushed to the Hub and loaded back, with and without this package: the same tokens."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from slt_hf.errors import HubError
from slt_hf.hub import add_code, check_complete, read_token

CARD = {
    "title": "Tiny", "license": "apache-2.0", "language": "en", "sign_language": "none", "data": "Random numbers.",
    "limits": ["Knows nothing."],
    "metrics": [{"name": "bleu", "value": 1.5, "dataset": "noise", "split": "test", "signature": "nrefs:1|v:2.6"}],
}  # fmt: skip

PUSH_OBJECTS = """
import sys
from slt_hf.modeling import SignToTextForConditionalGeneration
from slt_hf.processing.processing_pose import PoseProcessor
folder = sys.argv[1]
SignToTextForConditionalGeneration.from_pretrained(folder).push_to_hub("org/tiny")
PoseProcessor.from_pretrained(folder).push_to_hub("org/tiny")
"""

GENERATE = """
import sys, numpy, torch
from transformers import AutoModelForSeq2SeqLM, AutoProcessor
processor = AutoProcessor.from_pretrained("org/tiny", trust_remote_code=True)
model = AutoModelForSeq2SeqLM.from_pretrained("org/tiny", trust_remote_code=True)
clip = numpy.load(sys.argv[1])
inputs = processor(poses=clip, layout="signing_85", fps=25.0, return_tensors="pt")
print(model.generate(**inputs, max_new_tokens=12, min_new_tokens=12).tolist(), "slt_hf.modeling" in sys.modules)
"""

TRANSLATE = """
import sys, numpy, slt_hf
translator = slt_hf.SignTranslator.from_pretrained("org/tiny")
clip = numpy.load(sys.argv[1])
found = translator(clip, layout="signing_85", fps=25.0, max_new_tokens=12, min_new_tokens=12)
print(translator.processor.tokenizer.convert_tokens_to_ids(found.text.split()))
"""


@pytest.fixture
def clip(tmp_path: Path) -> str:
    import numpy as np

    points = np.random.default_rng(0).normal(size=(40, 85, 3)).cumsum(0) * 3 + 200
    points[..., 2] = 1.0
    np.save(tmp_path / "clip.npy", points.astype(np.float32))
    return str(tmp_path / "clip.npy")


@pytest.fixture
def pushable(tiny_checkpoint: Path) -> Path:
    import yaml

    (tiny_checkpoint / "card.yaml").write_text(yaml.safe_dump(CARD))
    return tiny_checkpoint


def push(hub_server, folder: Path, **options):
    return hub_server.run([sys.executable, "-m", "slt_hf.cli.main", "push", str(folder), "org/tiny"], **options)


def test_pushed_objects_give_the_same_tokens_where_the_package_cannot_be_imported(hub_server, tiny_checkpoint, clip):
    hub_server.python(PUSH_OBJECTS, str(tiny_checkpoint))
    here = hub_server.python(GENERATE, clip)
    elsewhere = hub_server.python(GENERATE, clip, without=["slt_hf"])
    assert here == elsewhere and "False" in elsewhere


def test_pushed_folder_carries_weights_processor_card_and_code(hub_server, pushable, clip):
    push(hub_server, pushable)
    pushed = hub_server.files("org/tiny")
    wanted = {"README.md", "config.json", "model.safetensors", "processor_config.json", "tokenizer.json"}
    assert wanted | {"modeling_sign_to_text.py", "processing_pose.py", "landmarks.py", "pose_files.py"} <= set(pushed)
    tokens = hub_server.python(GENERATE, clip, without=["slt_hf"])
    assert len(json.loads(tokens.rpartition(" ")[0])[0]) == 13


def test_translator_loads_a_checkpoint_by_its_name_on_the_hub(hub_server, pushable, clip):
    push(hub_server, pushable)
    hub_server.python(TRANSLATE, clip)
    assert not [line for line in hub_server.requests if line.startswith("GET") and line.endswith(".py")]


def test_pushed_card_says_layout_extractor_data_metrics_limits_and_licence(hub_server, pushable):
    push(hub_server, pushable)
    card = hub_server.files("org/tiny")["README.md"].decode()
    for told in (
        "`signing_85`",
        "synthetic 1",
        "Random numbers.",
        "nrefs:1|v:2.6",
        "Knows nothing.",
        "license: apache-2.0",
    ):
        assert told in card, told


def test_folder_without_code_gets_it_when_pushed(hub_server, pushable, clip):
    for path in pushable.glob("*.py"):
        path.unlink()
    for name in ("config.json", "processor_config.json"):
        values = json.loads((pushable / name).read_text())
        values.pop("auto_map")
        (pushable / name).write_text(json.dumps(values))
    push(hub_server, pushable)
    assert "False" in hub_server.python(GENERATE, clip, without=["slt_hf"])
    assert not list(pushable.glob("*.py"))


def test_code_is_added_once(tiny_checkpoint: Path):
    before = {path.name: path.read_bytes() for path in tiny_checkpoint.iterdir()}
    add_code(tiny_checkpoint)
    assert {path.name: path.read_bytes() for path in tiny_checkpoint.iterdir()} == before


def test_push_without_card_or_facts_says_what_a_card_needs(hub_server, tiny_checkpoint):
    done = push(hub_server, tiny_checkpoint, check=False)
    assert done.returncode == 2 and "card.yaml" in done.stderr and len(done.stderr.splitlines()) == 1
    assert ("model", "org/tiny") not in hub_server.repositories


def test_refusal_of_the_hub_is_one_line_with_a_remedy(hub_server, pushable):
    hub_server.token = "hf_needed"
    done = push(hub_server, pushable, check=False)
    assert done.returncode == 2 and "HF_TOKEN" in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", ["config.json", "processor_config.json", "model.safetensors"])
def test_incomplete_folder_is_not_pushed(tiny_checkpoint: Path, name: str):
    (tiny_checkpoint / name).unlink()
    with pytest.raises(HubError, match="expected"):
        check_complete(tiny_checkpoint)


def test_unknown_repository_is_an_error_with_a_remedy(hub_server):
    code = "import slt_hf; slt_hf.SignTranslator.from_pretrained('org/none')"
    done = hub_server.run([sys.executable, "-c", code], check=False)
    assert "HubError" in done.stderr and "check the name" in done.stderr


def test_token_comes_from_the_environment_or_dotenv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    (tmp_path / ".env").write_text("OTHER=1\nexport HF_TOKEN='hf_from_file'\n")
    assert read_token(tmp_path) == "hf_from_file"
    monkeypatch.setenv("HF_TOKEN", "hf_from_environment")
    assert read_token(tmp_path) == "hf_from_environment"
