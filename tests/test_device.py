"""The device is the best one there is, whoever made it, unless somebody names one."""

from __future__ import annotations

import pytest

from slt_hf.device import available_devices, pick_device
from slt_hf.errors import RecipeError

torch = pytest.importorskip("torch")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    """Say which devices torch is to see; none but the CPU to begin with."""

    def has(cuda: int = 0, xpu: int = 0, mps: bool = False) -> None:
        for name, count in (("cuda", cuda), ("xpu", xpu)):
            monkeypatch.setattr(getattr(torch, name), "is_available", lambda count=count: count > 0)
            monkeypatch.setattr(getattr(torch, name), "device_count", lambda count=count: count)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    has()
    return has


def test_the_best_one_is_chosen_and_the_cpu_is_always_there(machine):
    assert available_devices() == ["cpu"] and pick_device() == torch.device("cpu")
    machine(cuda=2)  # NVIDIA's, or AMD's under ROCm: torch calls both cuda
    assert available_devices() == ["cuda:0", "cuda:1", "cpu"] and pick_device() == torch.device("cuda:0")
    machine(xpu=1)
    assert pick_device() == torch.device("xpu:0")
    machine(mps=True)
    assert pick_device() == torch.device("mps")


def test_training_runs_where_use_does(tmp_path):
    from slt_hf.training.arguments import SignTrainingArguments

    assert SignTrainingArguments(output_dir=str(tmp_path)).device.type == pick_device().type


def test_a_device_that_is_not_there_is_refused_with_those_that_are(machine):
    assert pick_device("cpu") == torch.device("cpu")
    for name in ("cuda", "xpu", "mps", "abacus"):
        with pytest.raises(RecipeError, match="cpu"):
            pick_device(name)
