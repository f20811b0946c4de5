"""Whatever a command lacks, it says how to install it."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from slt_hf.environment import remedy_for
from slt_hf.processing.pose_files import PoseClip, write_pose

# What a use of its own asks for in words, or what no extra brings.
SAID_ELSEWHERE = {"bleurt", "comet", "mediapipe", "rtmlib", "slt_hf_video", "tensorrt_llm", "yt_dlp"}
BASE = {
    "PIL",
    "huggingface_hub",
    "httpx2",
    "numpy",
    "pose_format",
    "safetensors",
    "tokenizers",
    "tqdm",
    "typer",
    "yaml",
}


def modules_of(path: Path) -> set[str]:
    """Top-level names that a file imports, wherever in it."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    named = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and not node.level and node.module}
    return {name.split(".")[0] for name in plain | named}


def test_every_module_that_the_package_imports_has_a_remedy(repository: Path):
    files = [path for folder in ("slt_hf", "modeling", "processing") for path in (repository / folder).rglob("*.py")]
    wanted = set().union(*map(modules_of, files)) - set(sys.stdlib_module_names) - {"slt_hf"} - BASE
    extras = tomllib.loads((repository / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    remedies = {module: remedy_for(module) for module in wanted - SAID_ELSEWHERE}
    assert not [module for module, remedy in remedies.items() if remedy is None]
    assert {str(remedy).partition("[")[2].partition("]")[0] for remedy in remedies.values()} <= set(extras)


@pytest.mark.parametrize(
    ("module", "extra", "arguments"),
    [
        ("limits", "serve", ["serve", "--new-key"]),
        ("tritonclient", "client", ["client", "clip.pose", "--grpc"]),
        ("torch", "export", ["export", "bundled", "--output", "graphs"]),
        ("onnxscript", "export", ["export", "bundled", "--output", "graphs"]),
        ("transformers", "torch", ["translate", "clip.pose"]),
    ],
)
def test_a_command_without_its_extra_names_it(module: str, extra: str, arguments: list[str], tmp_path: Path):
    """In a Python of its own, which never saw the module."""
    write_pose(PoseClip(np.ones((9, 543, 3)), np.ones((9, 543)), "holistic_543", 25.0), tmp_path / "clip.pose")
    code = f"import sys; sys.modules[{module!r}] = None\nfrom slt_hf.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and f'pip install "slt_hf[{extra}]"' in done.stderr.splitlines()[-1], done.stderr
