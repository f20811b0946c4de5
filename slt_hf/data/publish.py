"""A prepared folder onto the Hub as a dataset that plain `datasets` opens and streams."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from slt_hf.data.dataset_card import PLACE
from slt_hf.data.storage import find_shards
from slt_hf.errors import PreparationError
from slt_hf.hub import _hub_errors as hub_errors
from slt_hf.hub import read_token

PUBLISHED = ("README.md", "census.json", "data/*.parquet")  # never the ledger or downloads: they name local files


def published(folder: Path) -> list[str]:
    """What goes to the Hub of a prepared folder."""
    return [path.relative_to(folder).as_posix() for pattern in PUBLISHED for path in sorted(folder.glob(pattern))]


def content(path: Path, repo_id: str) -> str | bytes:
    """A file to upload; the card shows how to load the dataset from where it now is."""
    if path.name != "README.md":
        return str(path)
    return path.read_text(encoding="utf-8").replace(PLACE, repo_id).encode()


def push_dataset_folder(folder: Path, repo_id: str, private: bool = False, message: str | None = None) -> str:
    """Publish shards, card and census as one commit, creating the repository where needed.

    Returns:
        The address of the commit.

    Raises:
        PreparationError: if the folder is no finished preparation.
        HubError: if the Hub refuses.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    find_shards(folder)
    absent = [name for name in ("README.md", "census.json") if not (folder / name).exists()]
    if absent:
        raise PreparationError(
            f"expected a finished preparation in {folder}, found no {' and no '.join(absent)}; run slt-hf prepare again"
        )
    if not sum(pq.read_metadata(shard).num_rows for shard in folder.glob("data/*.parquet")):
        raise PreparationError(
            f"expected clips in {folder}, found none; slt-hf prepare --report --output {folder} says where they are"
        )
    api = HfApi(token=read_token())
    with hub_errors(f"pushing {folder} to {repo_id}"):
        api.create_repo(repo_id, repo_type="dataset", private=private, exist_ok=True)
        there = set(api.list_repo_files(repo_id, repo_type="dataset"))
        files = {name: folder / name for name in published(folder)}
        old = [name for name in there if name.startswith("data/") and name.endswith(".parquet") and name not in files]
        commit = api.create_commit(
            repo_id=repo_id,
            repo_type="dataset",
            operations=[
                *(CommitOperationAdd(name, content(path, repo_id)) for name, path in files.items()),
                *(CommitOperationDelete(name) for name in old),  # shards that only an earlier version had
            ],
            commit_message=message or f"Upload {folder.resolve().name} with slt_hf",
        )
    return str(commit.commit_url)
