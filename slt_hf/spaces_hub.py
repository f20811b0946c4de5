"""Publishing the Space that ships with this package."""

from __future__ import annotations

from pathlib import Path

from slt_hf.hub import _hub_errors, read_token

SPACE = Path(__file__).parent / "spaces" / "sign_translation"
FILES = ["README.md", "app.py", "requirements.txt"]


def push_space_folder(repo_id: str, models: str = "bundled", private: bool = False) -> str:
    """Create or update a Space.

    Args:
        repo_id: "organisation/name".
        models: of its variable MODELS: "bundled" or repositories, separated by commas.
        private: whether a Space that is created may be seen by its owners only.

    Returns:
        The address of the commit.

    Raises:
        HubError: if the Hub refuses.
    """
    from huggingface_hub import HfApi

    api = HfApi(token=read_token())
    with _hub_errors(f"pushing the Space {repo_id}"):
        api.create_repo(repo_id, repo_type="space", space_sdk="gradio", private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repo_id, repo_type="space", folder_path=SPACE, allow_patterns=FILES,
            commit_message="Upload sign_translation with slt_hf",
        )  # fmt: skip
        api.add_space_variable(repo_id, "MODELS", models)
    return str(commit.commit_url)
