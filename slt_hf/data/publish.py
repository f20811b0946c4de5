"""A prepared folder onto the Hub as a dataset that plain `datasets` opens and streams."""

from __future__ import annotations

from pathlib import Path

from slt_hf.data.storage import find_shards
from slt_hf.errors import PreparationError
from slt_hf.hub import _hub_errors as hub_errors
from slt_hf.hub import read_token

PUBLISHED = ["README.md", "census.json", "data/*.parquet"]  # never the ledger or downloads: they name local files


def push_dataset_folder(folder: Path, repo_id: str, private: bool = False, message: str | None = None) -> str:
    """Publish shards, card and census as one commit, creating the repository where needed.

    Returns:
        The address of the commit.

    Raises:
        PreparationError: if the folder is no finished preparation.
        HubError: if the Hub refuses.
    """
    from huggingface_hub import HfApi

    find_shards(folder)
    absent = [name for name in ("README.md", "census.json") if not (folder / name).exists()]
    if absent:
        raise PreparationError(
            f"expected a finished preparation in {folder}, found no {' and no '.join(absent)}; run slt-hf prepare again"
        )
    api = HfApi(token=read_token())
    with hub_errors(f"pushing {folder} to {repo_id}"):
        api.create_repo(repo_id, repo_type="dataset", private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repo_id,
            repo_type="dataset",
            folder_path=folder,
            allow_patterns=PUBLISHED,
            delete_patterns="data/*.parquet",  # shards of an earlier version that this one does not have
            commit_message=message or f"Upload {folder.resolve().name} with slt_hf",
        )
    return str(commit.commit_url)
