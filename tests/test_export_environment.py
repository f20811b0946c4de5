"""`slt-hf[onnx]` alone: an environment of its own, without torch and transformers, in which an export translates."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_packaging import IGNORED
from tiny_checkpoints import save_translation

from slt_hf.export.exporting import export_checkpoint
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


def test_the_onnx_install_translates_and_holds_neither_torch_nor_transformers(repository: Path, tmp_path: Path):
    shutil.copytree(repository, tmp_path / "checkout", symlinks=True, ignore=IGNORED)
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    constraints = tmp_path / "checkout" / "constraints.txt"
    run(python, "-m", "pip", "install", "--quiet", "--constraint", constraints, f"{tmp_path / 'checkout'}[onnx]")
    installed = {entry["name"].lower() for entry in json.loads(run(python, "-m", "pip", "list", "--format", "json"))}
    assert installed.isdisjoint({"torch", "transformers", "onnx", "onnxscript"}) and "onnxruntime" in installed
    export = export_checkpoint(save_translation(tmp_path / "source"), tmp_path / "export")
    write_pose(synthesize("My name is Nora."), tmp_path / "clip.pose")
    command = tmp_path / "venv" / "bin" / "slt-hf"
    told = json.loads(run(command, "translate", tmp_path / "clip.pose", "--model", export, "--num-beams", 4, "--json"))
    assert told["translation"] == SignTranslator.from_pretrained(export)(tmp_path / "clip.pose", num_beams=4).text
