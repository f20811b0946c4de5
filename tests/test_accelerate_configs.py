"""The files for `accelerate launch --config_file` say only what accelerate reads, and how the model can be cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("accelerate")

from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file  # noqa: E402
from accelerate.commands.launch import _validate_launch_command, launch_command_parser  # noqa: E402
from accelerate.utils import DistributedType  # noqa: E402

FOLDER = Path(__file__).resolve().parent.parent / "scripts" / "accelerate"
KINDS = {
    "ddp": DistributedType.MULTI_GPU,
    "fsdp2": DistributedType.FSDP,
    "deepspeed_zero2": DistributedType.DEEPSPEED,
}


def launch_options() -> dict[str, Any]:
    """Option of `accelerate launch` -> its action."""
    return {action.dest: action for action in launch_command_parser()._actions}


def test_every_file_is_tested():
    assert {path.stem for path in FOLDER.glob("*.yaml")} == set(KINDS)


@pytest.mark.parametrize("name", KINDS)
def test_accelerate_reads_every_key(name: str):
    config = load_config_from_file(str(FOLDER / f"{name}.yaml"))  # refuses keys it does not know
    assert isinstance(config, ClusterConfig) and config.distributed_type == KINDS[name]
    options = launch_options()
    values = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    for key, value in {**values.get("fsdp_config", {}), **values.get("deepspeed_config", {})}.items():
        assert key in options, f"{key} would be ignored"
        assert options[key].choices is None or str(value) in options[key].choices


def test_launching_takes_the_file():
    """What `accelerate launch` makes of it: FSDP of the second version, four processes, bf16."""
    arguments = launch_command_parser().parse_args(["--config_file", str(FOLDER / "fsdp2.yaml"), "train.py"])
    made = _validate_launch_command(arguments)[0]
    assert made.use_fsdp and int(made.fsdp_version) == 2 and made.num_processes == 4 and made.mixed_precision == "bf16"


def test_the_wrap_policy_finds_layers_of_encoder_and_text_model():
    from test_modeling_sign_to_text import tiny_model

    model = tiny_model()
    names = {type(module).__name__ for module in model.modules()}
    assert {"UMT5Block", "TemporalLayer", "PartEncoder"} <= set(model._no_split_modules) & names
