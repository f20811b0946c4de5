"""Every Python snippet of the README runs as it stands, and what the README points to is there."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from hub_server import HubServer

import slt_hf
from slt_hf.demonstration import sign_unseen
from slt_hf.hub import push_folder
from slt_hf.processing.pose_files import write_pose


@pytest.fixture
def readme(repository: Path) -> str:
    return (repository / "README.md").read_text()


def snippets(text: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def test_python_snippets_run(readme: str, hub_server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """In order, in one process; `hello.pose` is in the folder, and the bundled checkpoint on a Hub as org/name."""
    checkpoint = Path(shutil.copytree(slt_hf.bundled_checkpoint(), tmp_path / "checkpoint"))
    hub_server.stand_in(monkeypatch)
    push_folder(checkpoint, "org/name")
    reference, clip, _ = sign_unseen(seed=2)
    write_pose(clip, tmp_path / "hello.pose")
    code = "\n".join(snippets(readme))
    said = hub_server.python(f"import os\nos.chdir({str(tmp_path)!r})\n{code}").splitlines()
    with_package, without_package = said[0].rsplit(" ", 2)[0], said[1]
    assert without_package == repr([with_package])
    assert (tmp_path / "question.pose").stat().st_size > 1000


def test_links_lead_somewhere(readme: str, repository: Path):
    targets = [target for target in re.findall(r"\]\(([^)]+)\)", readme) if "://" not in target]
    assert targets and not [target for target in targets if not (repository / target).exists()]


def test_commands_shown_exist(readme: str):
    from slt_hf.cli.main import app

    known = {command.name for command in app.registered_commands}
    shown = set(re.findall(r"^slt-hf (\w[\w-]*)", readme, re.MULTILINE))
    assert shown and shown <= known


def test_every_path_of_the_tree_exists(readme: str, repository: Path):
    tree = readme.split("## The tree")[1].split("\n## ")[0]
    top = [line.split()[0] for line in tree.splitlines() if re.match(r" {4}\w", line)]
    inner = [line.split()[0].rstrip(",") for line in tree.splitlines() if re.match(r" {6}\w", line)]
    paths = [repository / path for path in top] + [repository / "slt_hf" / path for path in inner]
    assert len(paths) > 15 and not [path for path in paths if not path.exists()]
