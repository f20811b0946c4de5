"""To and from the Hugging Face Hub: fetch a checkpoint, publish a folder with its card and its code.

The token comes from the environment (HF_TOKEN), from a `.env` file in the working folder, or from `hf auth login`; it
is never written anywhere.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from slt_hf.errors import CheckpointError, HubError

# What a checkpoint needs to run with this package. Python files stay behind: our own classes read it, not fetched code.
CHECKPOINT_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "*.onnx", "*.onnx.data", "*.onnx_data"]

# What `hub_strategy: checkpoint` keeps beside the weights, to go on training from: three times their size, for no use.
UNFINISHED = ["last-checkpoint/*", "checkpoint-*/*"]

# What a training run leaves in its folder and nobody else needs; pickled weights stay behind on purpose.
LEFT_BEHIND = [
    "checkpoint-*", "last-checkpoint", "runs", "*.pt", "*.pth", "*.bin", "__pycache__", ".*",
    "optimizer*", "scheduler*",
]  # fmt: skip


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
        return Path(
            snapshot_download(
                repo_id,
                revision=revision,
                allow_patterns=CHECKPOINT_FILES,
                ignore_patterns=UNFINISHED,
                token=read_token(),
            )
        )


def push_folder(folder: Path, repo_id: str, private: bool = False, message: str | None = None) -> str:
    """Publish a checkpoint as one commit, creating the repository where needed.

    What goes up is the folder, with the code that loads it anywhere and, unless it has one, a card from `card.yaml`.
    The folder itself stays as it is.

    Args:
        folder: what `save_pretrained` of model and processor wrote.
        repo_id: "organisation/name".
        private: whether a repository that is created may be seen by its owners only.
        message: of the commit.

    Returns:
        The address of the commit.

    Raises:
        HubError: if something that the Hub needs is absent, or if the Hub refuses.
    """
    from huggingface_hub import HfApi

    check_complete(folder)
    api = HfApi(token=read_token())
    with TemporaryDirectory() as temporary, _hub_errors(f"pushing {folder} to {repo_id}"):
        staged = stage(folder, Path(temporary) / "checkpoint", repo_id)
        api.create_repo(repo_id, private=private, exist_ok=True)
        summary = message or f"Upload {folder.resolve().name} with slt_hf"
        commit = api.upload_folder(repo_id=repo_id, folder_path=staged, commit_message=summary)
    return str(commit.commit_url)


def check_complete(folder: Path) -> None:
    """A checkpoint that others can load: weights, config and processor are all there.

    Raises:
        HubError: if one is absent.
    """
    from slt_hf.checkpoint import is_export, is_vlm_folder, read_json, read_processor

    try:
        if not is_vlm_folder(folder):  # adapters have no config of a model, and the base has a processor
            read_json(folder, "config.json"), read_processor(folder)
    except CheckpointError as error:
        raise HubError(f"{error}; save model and processor into one folder") from error
    if is_export(folder) and not (folder / "README.md").is_file():
        raise HubError(f"{folder}: expected README.md, found none; put card.yaml beside the weights and export again")
    if not is_export(folder) and not list(folder.glob("*.safetensors")):
        raise HubError(f"{folder}: expected weights as *.safetensors, found none; call save_pretrained of the model")


def stage(folder: Path, target: Path, repo_id: str) -> Path:
    """A copy of the checkpoint with its code and its card, ready to go up."""
    from slt_hf.checkpoint import is_export, is_vlm_folder
    from slt_hf.model_card import write_card

    shutil.copytree(folder, target, ignore=shutil.ignore_patterns(*LEFT_BEHIND))
    if not is_export(target) and not is_vlm_folder(target):  # graphs need no code, nor do transformers' own models
        add_code(target)
    if not (target / "README.md").is_file():
        write_card(target, repo_id)
    return target


def add_code(folder: Path) -> None:
    """Put the files that define model and processor beside the weights, and name them in `auto_map`.

    `save_pretrained` does this too; a checkpoint that ships inside the package goes without, being where the code is.
    """
    import torch
    from transformers.dynamic_module_utils import custom_object_save

    from slt_hf import modeling
    from slt_hf.checkpoint import load_processor, read_json, read_processor

    values = read_json(folder, "config.json")
    own = values["architectures"][0] in modeling.__all__  # transformers' own classes need no code of ours
    if "auto_map" not in values and own:
        model_class = getattr(modeling, values["architectures"][0])
        config = model_class.config_class.from_pretrained(folder)
        custom_object_save(config, folder, config=config)
        with torch.device("meta"):
            custom_object_save(model_class(config), folder, config=config)
        named = json.dumps(values | {"auto_map": config.auto_map}, indent=2, sort_keys=True)
        (folder / "config.json").write_text(named + "\n", encoding="utf-8")
    if "auto_map" not in read_processor(folder):
        load_processor(folder).save_pretrained(folder)


@contextmanager
def _hub_errors(doing: str) -> Iterator[None]:
    """Say what the Hub refused, and what to do about it."""
    import httpx2  # what huggingface_hub asks with: a failed connection is no OSError there
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
        (httpx2.TransportError, "check the network and HF_ENDPOINT"),
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
