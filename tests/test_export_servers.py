"""What is written for servers: Triton's repositories, TensorRT's profiles, TensorRT-LLM's checkpoints."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import pytest
import tensorrt_llm_stand_ins
import torch
from onnx import TensorProto, helper
from safetensors import safe_open
from tensorrt_llm_weights import rebuild_state
from transformers.modeling_outputs import BaseModelOutput

from slt_hf.errors import ExportError
from slt_hf.export import tensorrt, tensorrt_llm, triton
from slt_hf.export.exporting import write_manifest
from slt_hf.export.folder import WEIGHTS, ExportFolder, digest_of

onnxruntime = pytest.importorskip("onnxruntime")
T5: dict[str, Any] = {
    "vocab_size": 40, "d_model": 16, "d_kv": 8, "num_heads": 3, "d_ff": 24, "num_layers": 2, "num_decoder_layers": 3,
    "decoder_start_token_id": 0,
}  # fmt: skip


def graph(folder: Path, name: str, operator: str = "MatMul", axes: tuple[str, str] = ("batch", "frames")) -> None:
    """A graph of one product with a weight in the shared file."""
    weight = TensorProto(name="weight", data_type=TensorProto.FLOAT, dims=[3, 400])
    weight.data_location = TensorProto.EXTERNAL
    for key, value in (("location", WEIGHTS), ("offset", "0"), ("length", "4800")):
        weight.external_data.add(key=key, value=value)
    inputs = [helper.make_tensor_value_info("pose_values", TensorProto.FLOAT, [*axes, 3])]
    outputs = [helper.make_tensor_value_info("states", TensorProto.FLOAT, [*axes, 400])]
    node = helper.make_node(operator, ["pose_values", "weight"], ["states"])
    made = helper.make_graph([node], name, inputs, outputs, [weight])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    (folder / f"{name}.onnx").write_bytes(model.SerializeToString())


@pytest.fixture
def export(tmp_path: Path) -> ExportFolder:
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / WEIGHTS).write_bytes(b"\0" * 4800)
    graph(folder, "encoder")
    graph(folder, "decoder", axes=("rows", "new_tokens"))
    entries = {
        name: {"file": f"{name}.onnx", "sha256": digest_of((folder / f"{name}.onnx").read_bytes())}
        for name in ("encoder", "decoder")
    }
    write_manifest(folder, "Made", {"graphs": entries, "weights": {WEIGHTS: 4800}}, "float32")
    return ExportFolder.open(folder)


def test_a_triton_repository_has_a_model_for_each_graph(export: ExportFolder, tmp_path: Path):
    repository = tmp_path / "repository"
    assert triton.write_repository(export, repository) == ["slt_encoder", "slt_decoder"]
    config = triton.check_config((repository / "slt_encoder" / "config.pbtxt").read_text(), "slt_encoder")
    assert config.max_batch_size == 8 and list(config.input[0].dims) == [-1, 3]
    assert config.optimization.execution_accelerators.gpu_execution_accelerator[0].name == "tensorrt"
    decoder = triton.check_config((repository / "slt_decoder" / "config.pbtxt").read_text(), "slt_decoder")
    assert decoder.max_batch_size == 0 and list(decoder.input[0].dims) == [-1, -1, 3]


def test_a_triton_model_runs_from_its_own_folder(export: ExportFolder, tmp_path: Path):
    triton.write_repository(export, tmp_path / "repository")
    session = onnxruntime.InferenceSession(tmp_path / "repository" / "slt_encoder" / "1" / "model.onnx")
    assert session.get_inputs()[0].name == "pose_values"


def test_a_config_that_triton_does_not_know_is_refused():
    with pytest.raises(ExportError, match=r"expected a config\.pbtxt that Triton reads"):
        triton.check_config("max_batch: 8", "mine")


def test_tensorrt_gets_a_profile_for_every_input(export: ExportFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    settings = tensorrt.write_settings(export)
    assert settings["graphs"]["encoder"]["pose_values"] == {"min": [1, 1, 3], "opt": [8, 150, 3], "max": [16, 1500, 3]}
    options = tensorrt.provider_options(export, "encoder")
    assert options["trt_profile_max_shapes"] == "pose_values:16x1500x3"
    assert settings["built"] is False


def test_engines_are_kept_in_the_users_cache_and_never_taken_from_an_export(
    export: ExportFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """An engine is a program."""
    tensorrt.write_settings(export)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    paths = [Path(tensorrt.provider_options(export, name)["trt_engine_cache_path"]) for name in export.graphs]
    assert len(set(paths)) == 2 and all(path.is_dir() for path in paths)  # of another graph, another folder
    assert all(path.is_relative_to(tmp_path / "cache") for path in paths)


def test_an_operator_that_tensorrt_does_not_parse_is_named(export: ExportFolder):
    graph(export.path, "encoder", operator="Bernoulli")
    with pytest.raises(ExportError, match="does not know Bernoulli"):
        tensorrt.write_settings(export)


def test_an_open_axis_without_a_profile_is_named(export: ExportFolder):
    graph(export.path, "encoder", axes=("batch", "parsecs"))
    with pytest.raises(ExportError, match="found parsecs"):
        tensorrt.write_settings(export)


class Owner:
    """A translator as far as its text model goes."""

    def __init__(self, text_model: Any):
        self.text_model = text_model


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("family", ["t5", "umt5", "mt5"])
def test_tensorrt_llm_weights_give_back_those_of_transformers(tmp_path: Path, family: str, gated: bool):
    from transformers import AutoConfig, AutoModelForSeq2SeqLM

    torch.manual_seed(0)
    act = "gated-gelu" if gated else "relu"
    config = AutoConfig.for_model(family, **T5, feed_forward_proj=act)
    model = AutoModelForSeq2SeqLM.from_config(config)
    tensorrt_llm.write_checkpoint(Owner(model), tmp_path)
    rebuilt = rebuild_state(tmp_path, model.config)
    expected = model.state_dict()
    assert set(rebuilt) == set(expected)
    for name, tensor in expected.items():
        assert torch.equal(rebuilt[name], tensor), name


def test_every_layer_of_umt5_keeps_its_own_position_table(tmp_path: Path):
    from transformers import AutoConfig, AutoModelForSeq2SeqLM

    torch.manual_seed(0)
    model = AutoModelForSeq2SeqLM.from_config(AutoConfig.for_model("umt5", **T5))
    model.config.tie_word_embeddings = False  # as of a head of its own
    tensorrt_llm.write_checkpoint(Owner(model), tmp_path)
    with safe_open(tmp_path / "decoder" / "rank0.safetensors", "pt") as file:
        first, second = (file.get_tensor(f"transformer.layers.{i}.self_attention.rel_attn_table") for i in (0, 1))
    assert not torch.equal(first, second) and first.shape == (3, 32)
    config = json.loads((tmp_path / "decoder" / "config.json").read_text())
    assert config["use_implicit_relative_attention"] and not config["rescale_before_lm_head"]
    assert config["q_scaling"] == 8**-0.5


def test_tensorrt_llm_refuses_what_its_layout_does_not_hold(tmp_path: Path):
    with pytest.raises(ExportError, match="expected a text model among t5, mt5, umt5, found none"):
        tensorrt_llm.write_checkpoint(object(), tmp_path)


def test_the_graphs_of_this_test_are_valid(export: ExportFolder):
    onnx.checker.check_model(export.path / "encoder.onnx")


@pytest.mark.parametrize(
    ("family", "values"),
    [("umt5", {"feed_forward_proj": "gated-gelu"}), ("t5", {}), ("t5", {"tie_word_embeddings": False})],
)
def test_the_decoder_for_the_pytorch_backend_computes_what_transformers_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str, values: dict[str, Any]
):
    """With stand-ins for TensorRT-LLM's modules: two requests of different lengths in a row, as it has them."""
    from safetensors.torch import load_file
    from transformers import AutoConfig, AutoModelForSeq2SeqLM

    torch.manual_seed(0)
    text = AutoModelForSeq2SeqLM.from_config(AutoConfig.for_model(family, **T5, **values)).eval()
    owner = Owner(text)
    owner.generation_config = text.generation_config  # type: ignore[attr-defined]
    tensorrt_llm.write_decoder(owner, tmp_path, tmp_path / "pytorch")
    registry = tensorrt_llm_stand_ins.install(monkeypatch)
    monkeypatch.syspath_prepend(tmp_path / "pytorch")
    monkeypatch.delitem(sys.modules, "sign_text_decoder", raising=False)
    importlib.import_module("sign_text_decoder")
    config = SimpleNamespace(**json.loads((tmp_path / "pytorch" / "config.json").read_text()))
    made = registry.models["SignTextDecoder"](tensorrt_llm_stand_ins.ModelConfig(config)).eval()
    made.load_weights(load_file(tmp_path / "pytorch" / "model.safetensors"))
    process = registry.processors["sign_text"]("", config, None)

    states, tokens = [torch.randn(steps, 16) for steps in (9, 4)], [torch.randint(0, 40, (n,)) for n in (3, 7)]
    given = [process({"multi_modal_data": {"audio": each}}, None)[1]["multimodal_data"]["audio"] for each in states]
    lengths, steps = torch.tensor([3, 7]), torch.tensor([each["encoder_output_len"] for each in given])
    own = tensorrt_llm_stand_ins.Metadata(lengths)
    with torch.inference_mode():
        found = made(
            own, torch.cat(tokens), input_features=torch.cat([each["encoder_input_features"] for each in given]),
            encoder_attn_metadata=tensorrt_llm_stand_ins.Metadata(steps),
            cross_attn_metadata=tensorrt_llm_stand_ins.Metadata(lengths, steps),
        )  # fmt: skip
        expected = [
            text(encoder_outputs=BaseModelOutput(last_hidden_state=each[None]), decoder_input_ids=row[None]).logits[0]
            for each, row in zip(states, tokens, strict=True)
        ]
    torch.testing.assert_close(found, torch.cat(expected), atol=1e-5, rtol=1e-5)


def test_the_decoder_says_where_it_runs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "tensorrt_llm", None)
    with pytest.raises(ImportError, match="runs inside TensorRT-LLM"):
        importlib.import_module("slt_hf.export.sign_text_decoder")
