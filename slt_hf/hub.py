"""To and from the Hugging Face Hub: fetch a checkpoint, publish a folder with its card and its code.

The token comes from the environment (HF_TOKEN), from a `.env` file in the working folder, or from `hf auth login`; it
is never written anywhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slt_hf.errors import HubError

# What a checkpoint needs to run with this package. Python files stay behind: our own classes read it, not fetched code.
CHECKPOINT_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.onnx", "*.onnx.data", "*.onnx_data"]


def read_token(folder: Path | None = None) -> str | None:
    """The Hub token of this user, None where there is none."""
    from huggingface_hub import get_token

    dotenv = (folder or Path.cwd()) / ".env"
    if "HF_TOKEN" not in os.environ and dotenv.is_file():
        for line in dotenv.read_text(encoding="utf-8").splitlines():
            name, _, value = line.removeprefix("export ").partition("=")
            if name.strip() == "HF_TOKEN":
                return value.strip().strip("\"'") or None
    return get_token()


def download_checkpoint(repo_id: str, revision: str | None = None) -> Path:
    """Fetch a model repository into the local cache, or find it there.

    Returns:
        The folder of that snapshot.

    Raises:
        HubError: if the Hub or the cache does not have it.
    """
    from huggingface_hub import snapshot_download

    with _hub_errors(f"fetching {repo_id}"):
        return Path(snapshot_download(repo_id, revision=revision, allow_patterns=CHECKPOINT_FILES, token=read_token()))


def push_folder(folder: Path, repo_id: str, private: bool = False, message: str | None = None) -> str:
    """Upload a checkpoint's folder as one commit, creating the repository where needed.

    Args:
        folder: what `save_pretrained` wrote, with its `README.md`.
        repo_id: "organisation/name".
        private: whether a repository that is created may be seen by its owners only.
        message: of the commit.

    Returns:
        The address of the commit.

    Raises:
        HubError: if something that the Hub needs is absent, or if the Hub refuses.
    """
    from huggingface_hub import HfApi

    _check_complete(folder)
    api = HfApi(token=read_token())
    with _hub_errors(f"pushing {folder} to {repo_id}"):
        api.create_repo(repo_id, private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repo_id,
            folder_path=folder,
            commit_message=message or f"Upload {folder.resolve().name} with slt_hf",
            ignore_patterns=["checkpoint-*/**", "runs/**", "*.pt", "*.pth", "*.bin", "__pycache__/**", ".*"],
        )
    return str(commit.commit_url)


def _check_complete(folder: Path) -> None:
    """A pushed checkpoint can be loaded by others: weights, config, processor, code and card are all there."""
    wanted = {
        "README.md": "a model card",
        "config.json": "the model's config",
        "processor_config.json": "the processor",
    }
    for name, meaning in wanted.items():
        if not (folder / name).is_file():
            raise HubError(
                f"{folder}: expected {name} ({meaning}), found none; save model and processor into this folder"
            )
    if not list(folder.glob("*.safetensors")):
        raise HubError(
            f"{folder}: expected weights as *.safetensors, found none; call model.save_pretrained({str(folder)!r})"
        )


@contextmanager
def _hub_errors(doing: str) -> Iterator[None]:
    """Say what the Hub refused, and what to do about it."""
    from huggingface_hub import errors

    remedies: list[tuple[type[Exception], str]] = [
        (errors.GatedRepoError, "ask for access on its page, then set HF_TOKEN"),
        (
            errors.RepositoryNotFoundError,
            "check the name; if the repository is private, set HF_TOKEN in the environment or .env",
        ),
        (errors.RevisionNotFoundError, "name a branch, tag or commit that exists"),
        (errors.LocalEntryNotFoundError, "connect to the network once, or unset HF_HUB_OFFLINE"),
        (errors.OfflineModeIsEnabled, "unset HF_HUB_OFFLINE to reach the Hub"),
        (errors.HFValidationError, "write it as organisation/name, or give the path of an existing folder"),
        (errors.HfHubHTTPError, "set HF_TOKEN in the environment or .env to a token that may do this"),
        (OSError, "check the network and HF_ENDPOINT"),
    ]
    try:
        yield
    except tuple(kind for kind, _ in remedies) as error:
        remedy = next(text for kind, text in remedies if isinstance(error, kind))
        raise HubError(f"{doing} failed: {_first_line(error)}; {remedy}") from error


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2]) if lines else type(error).__name__
