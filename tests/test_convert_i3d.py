"""Published I3D weights become a checkpoint; files that are something else are refused."""

from __future__ import annotations

import os
from inspect import signature
from pathlib import Path
from typing import Any, get_args

import pytest

torch = pytest.importorskip("torch")

from command_line import cli  # noqa: E402

from slt_hf import SignClassifier  # noqa: E402
from slt_hf.convert_i3d import (  # noqa: E402
    HEAD,
    SOURCES,
    convert_i3d,
    from_published,
    i3d_extractor,
    our_key,
    read_labels,
)
from slt_hf.errors import CheckpointError  # noqa: E402
from slt_hf.modeling import I3DConfig, I3DForVideoClassification  # noqa: E402

NARROW: dict[str, Any] = {"width_multiplier": 0.06}  # of the public code's layout, at widths that a test can afford
WORDS = ["BOOK", "DRINK", "COMPUTER"]


def published(model: Any) -> dict[str, Any]:
    """Our weights under the public code's keys."""
    state = {}
    for key, value in model.state_dict().items():
        name = key.removeprefix("i3d.layers.").replace("classifier.", HEAD)
        state[name] = value[:, :, None, None, None] if name == f"{HEAD}weight" else value
    return state


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    return I3DForVideoClassification(I3DConfig(num_labels=3, **NARROW)).eval()


@pytest.fixture(scope="module")
def weights(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("published") / "wlasl.pt"
    torch.save(published(model), path)
    return path


def test_keys_are_those_of_the_public_code() -> None:
    assert our_key("Mixed_3b.b1a.bn.running_var") == "i3d.layers.Mixed_3b.b1a.bn.running_var"
    assert our_key("logits.conv3d.bias") == "classifier.bias"


def test_converted_weights_compute_the_same(model: Any, weights: Path) -> None:
    converted = convert_i3d(weights, "kinetics", [*WORDS, "GO"], **NARROW)
    clip = torch.rand(1, 9, 3, 32, 32)
    assert torch.equal(converted(clip).logits, model(clip).logits)
    assert converted.config.id2label == dict(enumerate(WORDS))  # the first of a list that many sizes share


@pytest.mark.parametrize("source", ["wlasl", "asl_citizen"])
def test_weights_that_saw_blue_first_answer_as_their_own_code(model: Any, source: str) -> None:
    """Their code gives the network BGR, and takes each class' highest answer over time."""
    converted = from_published(published(model), "seeded", source=source, **NARROW)
    clip = torch.rand(2, 33, 3, 32, 32)
    with torch.no_grad():
        steps = model.classifier(model.i3d(clip[:, :, [2, 1, 0]]).last_hidden_state)  # (B, 4, labels)
        torch.testing.assert_close(converted(clip).logits, steps.amax(1), atol=1e-5, rtol=1e-5)
    flow = I3DForVideoClassification(I3DConfig(num_channels=2, num_labels=3, **NARROW))
    stem = "i3d.layers.Conv3d_1a_7x7.conv3d.weight"
    turned = from_published(published(flow), "flow", source=source, **NARROW).state_dict()[stem]
    assert torch.equal(turned, flow.state_dict()[stem])  # two directions are no colours
    with pytest.raises(CheckpointError, match="expected one of kinetics, wlasl, asl_citizen, found 'youtube'"):
        from_published(published(model), "seeded", source="youtube", **NARROW)


def test_the_command_offers_every_source() -> None:
    from slt_hf.cli.convert_i3d import convert_i3d as command

    offered, _ = get_args(signature(command, eval_str=True).parameters["source"].annotation)
    assert get_args(offered) == tuple(SOURCES)


@pytest.mark.parametrize("wrapping", ["state_dict", "model_state_dict"])
def test_weights_are_found_inside_what_training_scripts_save(model: Any, tmp_path: Path, wrapping: str) -> None:
    state = {f"module.{key}": value for key, value in published(model).items() if "num_batches" not in key}
    torch.save({wrapping: state, "epoch": 3}, tmp_path / "run.pt")
    converted = convert_i3d(tmp_path / "run.pt", "kinetics", **NARROW)
    assert torch.equal(converted.classifier.weight, model.classifier.weight)


def test_flow_weights_make_a_flow_checkpoint() -> None:
    flow = I3DForVideoClassification(I3DConfig(num_channels=2, num_labels=3, **NARROW))
    converted = from_published(published(flow), "flow", "kinetics", **NARROW)
    assert converted.config.num_channels == 2
    assert i3d_extractor(converted.config).flow


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch ran",)


def test_code_in_a_weights_file_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": Malicious()}, "bad.pt")
    with pytest.raises(CheckpointError, match="objects besides tensors"):
        convert_i3d("bad.pt", "kinetics")
    assert not Path("ran").exists()


def test_other_files_are_refused(model: Any, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="expected a .pt or .safetensors"):
        convert_i3d(path, "kinetics")
    torch.save({"layer.weight": torch.zeros(2)}, path)
    with pytest.raises(CheckpointError, match="expected I3D weights with keys such as"):
        convert_i3d(path, "kinetics")
    state = published(model)
    del state["Mixed_5c.b0.bn.bias"]
    torch.save(state, path)
    with pytest.raises(CheckpointError, match=r"1 missing.*Mixed_5c\.b0\.bn\.bias"):
        convert_i3d(path, "kinetics", **NARROW)


def test_class_lists_are_read_in_either_form(tmp_path: Path) -> None:
    path = tmp_path / "classes.txt"
    path.write_text("1\tdrink\n0\tbook\n2\tcomputer\n")
    assert read_labels(path) == ["book", "drink", "computer"]
    path.write_text("thank you\nbook\n")
    assert read_labels(path) == ["thank you", "book"]
    path.write_text("0\tbook\n2\tdrink\n")
    with pytest.raises(CheckpointError, match="gaps or repeats"):
        read_labels(path)


def test_too_short_a_class_list_is_refused(weights: Path) -> None:
    with pytest.raises(CheckpointError, match="names for its 3 classes, all different, found 2"):
        convert_i3d(weights, "kinetics", WORDS[:2], **NARROW)


@pytest.mark.slow
def test_the_command_writes_a_checkpoint_that_names_signs(tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(published(I3DForVideoClassification(I3DConfig(num_labels=3))), tmp_path / "wlasl.pt")
    (tmp_path / "classes.txt").write_text("\n".join(WORDS))
    folder = tmp_path / "checkpoint"
    options = ("--source", "wlasl", "--labels", tmp_path / "classes.txt")
    done = cli("convert-i3d", tmp_path / "wlasl.pt", folder, *options)
    assert "sees pictures, 3 classes from 'BOOK' on" in done.stdout
    classifier: Any = SignClassifier.from_pretrained(folder, device="cpu")
    assert classifier.engine.model.config.time_pooling == "max"
    assert classifier.processor.fit == "squash" and classifier.processor.provenance["source"] == "wlasl"
    clip = torch.zeros(4, 256, 340, 3, dtype=torch.uint8).numpy()
    assert classifier(clip).label in WORDS
