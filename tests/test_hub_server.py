"""The local Hub does what huggingface_hub and datasets expect of the real one."""

from __future__ import annotations

import sys

import pytest

ROUND_TRIP = """
import os, sys
from huggingface_hub import HfApi, CommitOperationAdd, CommitOperationDelete, snapshot_download, hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError
api = HfApi()
api.create_repo("org/name", exist_ok=True); api.create_repo("org/name", exist_ok=True)
api.create_commit("org/name", operations=[
    CommitOperationAdd("config.json", b'{"a": 1}'), CommitOperationAdd("model.safetensors", b"\\0" * 5000),
    CommitOperationAdd("code/deep.py", b"x = 1"),
    CommitOperationAdd("README.md", b"---\\nlicense: apache-2.0\\n---\\nhello")],
    commit_message="first")
first = api.model_info("org/name").sha
api.create_tag("org/name", tag="v1")
api.create_commit("org/name", operations=[CommitOperationAdd("config.json", b'{"a": 2}'),
    CommitOperationDelete("code/", is_folder=True)], commit_message="second")
assert sorted(api.list_repo_files("org/name")) == ["README.md", "config.json", "model.safetensors"]
assert [f.path for f in api.list_repo_tree("org/name", revision="v1", recursive=True)] == [
    "README.md", "code", "code/deep.py", "config.json", "model.safetensors"]
assert open(hf_hub_download("org/name", "config.json")).read() == '{"a": 2}'
assert open(hf_hub_download("org/name", "config.json", revision="v1")).read() == '{"a": 1}'
assert open(hf_hub_download("org/name", "config.json", revision=first)).read() == '{"a": 1}'
folder = snapshot_download("org/name")
assert open(folder + "/model.safetensors", "rb").read() == b"\\0" * 5000
assert [c.title for c in api.list_repo_commits("org/name")] == ["second", "first", "initial commit"]
assert api.get_paths_info("org/name", ["model.safetensors"])[0].lfs.size == 5000
for repo, file, error in [("org/none", "a", RepositoryNotFoundError), ("org/name", "none.json", EntryNotFoundError)]:
    try:
        hf_hub_download(repo, file)
    except error:
        print("refused")
try:
    hf_hub_download("org/name", "config.json", revision="v9")
except RevisionNotFoundError:
    print("refused")
"""

DATASET = """
import datasets, sys
rows = {"id": [str(i) for i in range(300)], "pose": [bytes([i % 256]) * 100 for i in range(300)]}
train = datasets.Dataset.from_dict(rows)
data = datasets.DatasetDict(train=train, test=train.select(range(5)))
data.push_to_hub("org/clips", max_shard_size="10KB")
whole = datasets.load_dataset("org/clips", split="train")
stream = datasets.load_dataset("org/clips", split="train", streaming=True)
assert whole[7]["pose"] == bytes([7]) * 100
test = datasets.load_dataset("org/clips", split="test")
print(len(whole), sum(1 for _ in stream), next(iter(stream))["id"], len(test))
"""


def test_models_round_trip_with_tags_commits_and_typed_refusals(hub_server):
    assert hub_server.python(ROUND_TRIP).split() == ["refused"] * 3
    assert any(request.startswith("PUT /lfs/") for request in hub_server.requests)


@pytest.mark.slow
def test_datasets_are_pushed_in_shards_loaded_and_streamed(hub_server):
    assert hub_server.python(DATASET).split() == ["300", "300", "0", "5"]


def test_writing_needs_the_token_when_the_hub_has_one(hub_server):
    hub_server.token = "hf_local"
    code = "from huggingface_hub import HfApi; HfApi().create_repo('org/private')"
    assert "401" in hub_server.run([sys.executable, "-c", code], check=False).stderr
    hub_server.python(code, HF_TOKEN="hf_local")
    assert ("model", "org/private") in hub_server.repositories
