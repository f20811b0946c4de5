"""Pushed to the Hub and loaded back, with and without this package: the same tokens."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from command_line import cli
from hub_server import HubServer
from huggingface_hub import HfApi

from slt_hf import SignTranslator
from slt_hf.errors import HubError
from slt_hf.hub import add_code, check_complete, download_checkpoint, push_folder, read_token
from slt_hf.modeling import SignToTextForConditionalGeneration
from slt_hf.processing import PoseProcessor

CARD = {
    "title": "Tiny", "license": "apache-2.0", "language": "en", "sign_language": "none", "data": "Random numbers.",
    "limits": ["Knows nothing."],
    "metrics": [{"name": "bleu", "value": 1.5, "dataset": "noise", "split": "test", "signature": "nrefs:1|v:2.6"}],
}  # fmt: skip

GENERATE = """
import sys, numpy, torch
from transformers import AutoModelForSeq2SeqLM, AutoProcessor
for name in sys.argv[2:]:
    processor = AutoProcessor.from_pretrained(name, trust_remote_code=True)
    model = AutoModelForSeq2SeqLM.from_pretrained(name, trust_remote_code=True)
    inputs = processor(poses=numpy.load(sys.argv[1]), layout="signing_85", fps=25.0, return_tensors="pt")
    tokens = model.generate(**inputs, max_new_tokens=12, min_new_tokens=12)
    print(processor.batch_decode(tokens, skip_special_tokens=True)[0])
"""


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    points = np.random.default_rng(0).normal(size=(40, 85, 3)).cumsum(0) * 3 + 200
    points[..., 2] = 1.0
    np.save(tmp_path / "clip.npy", points.astype(np.float32))
    return tmp_path / "clip.npy"


@pytest.fixture
def pushable(tiny_checkpoint: Path) -> Path:
    (tiny_checkpoint / "card.yaml").write_text(yaml.safe_dump(CARD))
    return tiny_checkpoint


@pytest.fixture
def hub(hub_server: HubServer, monkeypatch: pytest.MonkeyPatch) -> HubServer:
    hub_server.stand_in(monkeypatch)
    return hub_server


def without_code(folder: Path, target: Path) -> Path:
    """A copy as a checkpoint inside a package is: no code, and none named."""
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns("*.py"))
    for name in ("config.json", "processor_config.json"):
        values = json.loads((target / name).read_text())
        values.pop("auto_map")
        (target / name).write_text(json.dumps(values))
    return target


def test_what_is_pushed_gives_the_same_tokens_where_the_package_cannot_be_imported(
    hub: HubServer, pushable: Path, tmp_path: Path, clip: Path
):
    """As objects, as a folder with code, as a folder without; generated in one process, as each costs seconds."""
    SignToTextForConditionalGeneration.from_pretrained(pushable).push_to_hub("org/objects")
    PoseProcessor.from_pretrained(pushable).push_to_hub("org/objects")
    push_folder(pushable, "org/tiny")
    bare = without_code(pushable, tmp_path / "bare")
    push_folder(bare, "org/bare")
    assert not list(bare.glob("*.py")), "the folder that was pushed stays as it is"

    hub.requests.clear()
    translator = SignTranslator.from_pretrained("org/tiny")
    here = translator(np.load(clip), layout="signing_85", fps=25.0, max_new_tokens=12, min_new_tokens=12).text
    assert hub.requests and not [line for line in hub.requests if line.startswith("GET") and line.endswith(".py")]
    said = hub.python(GENERATE, str(clip), "org/objects", "org/tiny", "org/bare", without=["slt_hf"])
    assert len(here.split()) > 5 and said.splitlines() == [here] * 3


def test_pushed_folder_carries_weights_processor_card_and_code(hub: HubServer, pushable: Path):
    assert cli("push", pushable, "org/tiny").exit_code == 0
    pushed = hub.files("org/tiny")
    wanted = {"README.md", "config.json", "model.safetensors", "processor_config.json", "tokenizer.json"}
    assert wanted | {"modeling_sign_to_text.py", "processing_pose.py", "landmarks.py", "pose_files.py"} <= set(pushed)
    told = ("`signing_85`", "synthetic 1", "Random numbers.", r"nrefs:1\|v:2.6", "Knows nothing.", "apache-2.0")
    card = pushed["README.md"].decode()
    assert [words for words in told if words not in card] == []


def test_a_run_that_goes_on_is_not_fetched_with_its_checkpoint(hub: HubServer, pushable: Path):
    shutil.copytree(pushable, pushable / "last-checkpoint")  # as `hub_strategy: checkpoint` keeps it
    HfApi().create_repo("org/tiny")
    HfApi().upload_folder(repo_id="org/tiny", folder_path=pushable)
    assert "last-checkpoint/model.safetensors" in hub.files("org/tiny")
    fetched = download_checkpoint("org/tiny")
    assert (fetched / "model.safetensors").is_file() and not (fetched / "last-checkpoint").exists()
    push_folder(pushable, "org/finished")
    assert not [name for name in hub.files("org/finished") if name.startswith("last-checkpoint")]


def test_code_is_added_once(tiny_checkpoint: Path):
    before = {path.name: path.read_bytes() for path in tiny_checkpoint.iterdir()}
    add_code(tiny_checkpoint)
    assert {path.name: path.read_bytes() for path in tiny_checkpoint.iterdir()} == before


def test_push_without_card_or_facts_says_what_a_card_needs(hub: HubServer, tiny_checkpoint: Path):
    done = cli("push", tiny_checkpoint, "org/tiny")
    assert done.exit_code == 2 and "card.yaml" in done.stderr and len(done.stderr.splitlines()) == 1
    assert ("model", "org/tiny") not in hub.repositories


def test_refusal_of_the_hub_is_one_line_with_a_remedy(hub: HubServer, pushable: Path):
    hub.token = "hf_needed"
    done = cli("push", pushable, "org/tiny")
    assert done.exit_code == 2 and "HF_TOKEN" in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", [["push", "FOLDER", "org/tiny"], ["push-space", "org/space"]])
def test_a_hub_that_cannot_be_reached_is_one_line(hub: HubServer, pushable: Path, command: list[str]):
    hub.__exit__()  # its address refuses connections from here on
    done = cli(*[str(pushable) if word == "FOLDER" else word for word in command])
    assert done.exit_code == 2 and "check the network" in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", ["config.json", "processor_config.json", "model.safetensors"])
def test_incomplete_folder_is_not_pushed(tiny_checkpoint: Path, name: str):
    (tiny_checkpoint / name).unlink()
    with pytest.raises(HubError, match="expected"):
        check_complete(tiny_checkpoint)


def test_unknown_repository_is_an_error_with_a_remedy(hub: HubServer):
    with pytest.raises(HubError, match="check the name"):
        SignTranslator.from_pretrained("org/none")


def test_token_comes_from_the_environment_or_dotenv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    (tmp_path / ".env").write_text("OTHER=1\nexport HF_TOKEN='hf_from_file'\n")
    assert read_token(tmp_path) == "hf_from_file"
    monkeypatch.setenv("HF_TOKEN", "hf_from_environment")
    assert read_token(tmp_path) == "hf_from_environment"
