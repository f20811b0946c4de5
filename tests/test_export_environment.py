"""Environments of their own: `slt-hf[onnx]` without torch and transformers, and Triton's server with our repository."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_packaging import IGNORED
from tiny_checkpoints import save_translation

from slt_hf.export.exporting import ExportSettings, export_checkpoint
from slt_hf.export.targets import export_to
from slt_hf.pipeline import SignTranslator
from slt_hf.processing.pose_files import write_pose
from slt_hf.synthesis.synthesizer import synthesize

pytestmark = pytest.mark.slow


def run(*command: object) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode and "No matching distribution" in done.stderr:
        pytest.skip("no package registry here")
    assert done.returncode == 0, done.stderr
    return done.stdout


def environment(checkout: Path, folder: Path, *packages: object) -> Path:
    """A virtual environment with `slt_hf[onnx]` of a copy of the checkout, and other packages; its Python."""
    shutil.copytree(checkout, folder / "checkout", symlinks=True, ignore=IGNORED)
    run(sys.executable, "-m", "venv", folder / "venv")
    python = folder / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", *packages, f"{folder / 'checkout'}[onnx]")
    return python


def test_the_onnx_install_translates_and_holds_neither_torch_nor_transformers(repository: Path, tmp_path: Path):
    python = environment(repository, tmp_path, "--constraint", repository / "constraints.txt")
    installed = {entry["name"].lower() for entry in json.loads(run(python, "-m", "pip", "list", "--format", "json"))}
    assert installed.isdisjoint({"torch", "transformers", "onnx", "onnxscript"}) and "onnxruntime" in installed
    export = export_checkpoint(save_translation(tmp_path / "source"), tmp_path / "export")
    write_pose(synthesize("My name is Nora."), tmp_path / "clip.pose")
    command = tmp_path / "venv" / "bin" / "slt-hf"
    told = json.loads(run(command, "translate", tmp_path / "clip.pose", "--model", export, "--num-beams", 4, "--json"))
    assert told["translation"] == SignTranslator.from_pretrained(export)(tmp_path / "clip.pose", num_beams=4).text


def test_the_real_triton_loads_the_repository_and_says_the_same(repository: Path, tmp_path: Path):
    """The server inside nvidia-pytriton, whose only backend is Python's: ONNX Runtime computes through that."""
    python = environment(repository, tmp_path, "nvidia-pytriton")
    export = export_checkpoint(save_translation(tmp_path / "source"), tmp_path / "export")
    models = export_to(export, tmp_path / "models", ExportSettings(target="triton"))
    told = run(python, repository / "scripts" / "check_triton.py", models, "--export", export)
    assert "loaded slt_decoder, slt_encoder and said the same" in told
