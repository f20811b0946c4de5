"""An export says what its checkpoint says, without PyTorch; what does not is not written."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import cli
from hub_server import HubServer
from tiny_checkpoints import SIZES, WORDS, save

from slt_hf import SignClassifier, SignTranslator
from slt_hf.checkpoint import load_processor
from slt_hf.errors import ExportError, HubError, RecipeError
from slt_hf.export.exporting import ExportSettings, clips_of_data
from slt_hf.export.folder import MANIFEST, WEIGHTS, ExportFolder
from slt_hf.export.gate_cases import gate_cases
from slt_hf.export.providers import provider_for
from slt_hf.grounding_heat import grounding_heat
from slt_hf.processing.pose_files import write_pose
from slt_hf.synthesis.synthesizer import synthesize

CARD = "title: Tiny\ndata: Random numbers.\nlimits: [Knows nothing.]\nlicense: apache-2.0\n"
WITHOUT_TORCH = """
import sys
for name in ("torch", "transformers", "onnx", "onnxscript"):
    sys.modules[name] = None
from slt_hf import SignTranslator
translator = SignTranslator.from_pretrained(sys.argv[1])
for options in ({}, {"num_beams": 4}, {"max_new_tokens": 3}):
    for found in translator(sys.argv[2:], **options):
        print(f"{found.text}|{found.confidence:.6f}")
assert not {"slt_hf.processing.video_frames", "numpy.random"} & set(sys.modules)  # a cold start waits for neither
"""


def tiny_translator(folder: Path) -> Path:
    """Of what is traced quickest: two parts, a perceptron for each, a short window."""
    import torch
    from transformers import T5Config

    from slt_hf.modeling import PoseEncoderConfig, SignToTextConfig, SignToTextForConditionalGeneration

    torch.manual_seed(0)
    text = T5Config(
        vocab_size=3 + len(WORDS), d_model=32, d_kv=8, num_heads=2, d_ff=32, num_layers=1, num_decoder_layers=1,
        decoder_start_token_id=0, initializer_factor=3.0,
    )  # fmt: skip
    encoder = PoseEncoderConfig(
        **SIZES, frame_encoder="shape", shape_hidden_size=16, attention_window=8, edges=[],
        parts={"hand": list(range(32, 53)), "body": list(range(11))},
    )  # fmt: skip
    config = SignToTextConfig(encoder_config=encoder.to_dict(), text_config=text.to_dict(), text_encoder="skip")
    return save(SignToTextForConditionalGeneration(config), folder)


CALLS: tuple[dict[str, Any], ...] = ({}, {"num_beams": 4}, {"max_new_tokens": 3})


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny_translator(tmp_path_factory.mktemp("checkpoint") / "tiny")
    (folder / "card.yaml").write_text(CARD)
    return folder


@pytest.fixture(scope="module")
def exported(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command's own result, made once: where tests run in several processes, by the first that asks."""
    shared = tmp_path_factory.getbasetemp()
    shared = shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared
    output = shared / "export" / "graphs"
    try:
        output.parent.mkdir()
    except FileExistsError:
        return made_elsewhere(output)
    with pytest.MonkeyPatch.context() as patched:
        smaller_gate(patched)
        done = cli("export", source, "--output", output)
    (output.parent / "told.txt").write_text(done.stderr)
    assert done.exit_code == 0, done.stderr
    return output


def smaller_gate(patched: pytest.MonkeyPatch) -> None:
    """Of the same kinds of inputs fewer, which takes a third of the time; all of them run in the slow tests."""
    patched.setattr("slt_hf.export.gate_cases.LENGTHS", ((1,), (40, 3)))
    patched.setattr("slt_hf.export.gate_cases.SENTENCES", ("Where is the school?",))
    patched.setattr("slt_hf.export.gate.NEW_TOKENS", 12)


def made_elsewhere(output: Path, seconds: float = 600) -> Path:
    """The other process's export; it takes its name once it is complete."""
    end = time.monotonic() + seconds
    while not output.is_dir():
        assert not (output.parent / "told.txt").exists(), (output.parent / "told.txt").read_text()
        assert time.monotonic() < end, "the other process made no export"
        time.sleep(0.2)
    return output


@pytest.fixture
def copy(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "copy"))


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("clips")
    for number, text in enumerate(("Where is the school?", "My name is Nora.")):
        write_pose(synthesize(text), folder / f"{number}.pose")
    return sorted(folder.iterdir())


def test_an_export_says_the_same_where_torch_is_not_installed(source: Path, exported: Path, clips: list[Path]):
    command = [sys.executable, "-c", WITHOUT_TORCH, str(exported), *map(str, clips)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    translator = SignTranslator.from_pretrained(source, device="cpu")
    expected = [found for options in CALLS for found in translator([str(clip) for clip in clips], **options)]
    lines = [line.split("|") for line in done.stdout.splitlines()]
    assert [text for text, _ in lines] == [found.text for found in expected]
    assert [float(score) for _, score in lines] == pytest.approx([found.confidence for found in expected], abs=1e-3)


def test_the_card_tells_what_was_compared(exported: Path):
    card = (exported / "README.md").read_text()
    assert "# Tiny, ONNX float32" in card and "| logits |" in card and "NO |" not in card
    report = json.loads((exported / "export_report.json").read_text())
    compared = {check["what"] for check in report["checks"]}
    assert {"last_hidden_state", "cross_key_0", "logits", "tokens", "confidence", "pose_values"} <= compared
    assert any("4 beams" in check["case"] for check in report["checks"]) and report["passed"]


def test_weights_are_stored_once(source: Path, exported: Path):
    """Also those that two graphs read, and the head that is the embedding turned."""
    onnx = pytest.importorskip("onnx")
    from safetensors.numpy import load_file

    held = sum(tensor.nbytes for tensor in load_file(source / "model.safetensors").values())
    places = {}
    for path in exported.glob("*.onnx"):
        for tensor in onnx.load(path, load_external_data=False).graph.initializer:
            if tensor.external_data and tensor.data_type == onnx.TensorProto.FLOAT:
                entry = {each.key: int(each.value) for each in tensor.external_data if each.key != "location"}
                places[entry["offset"]] = entry["length"]
        assert path.stat().st_size < 200_000  # no weights in it
    assert 0.8 * held < sum(places.values()) <= held


def test_graphs_name_nothing_of_the_machine_that_made_them(exported: Path, repository: Path):
    for path in exported.glob("*.onnx"):
        assert str(repository).encode() not in path.read_bytes() and b"site-packages" not in path.read_bytes()


def test_graphs_are_valid_and_of_standard_operators(exported: Path):
    onnx = pytest.importorskip("onnx")
    for path in exported.glob("*.onnx"):
        onnx.checker.check_model(path)
        model = onnx.load(path, load_external_data=False)
        assert {entry.domain for entry in model.opset_import} == {""}
        open_axes = [axis.dim_param for entry in model.graph.input for axis in entry.type.tensor_type.shape.dim[:1]]
        assert all(open_axes), path


def test_clips_of_the_data_go_through_the_gate(source: Path, clips: list[Path], tmp_path: Path):
    """The first ones that can be read; scores count the others."""
    rows = [f"{number},{path},A text.,dev" for number, path in enumerate([tmp_path / "gone.pose", *clips])]
    (tmp_path / "rows.csv").write_text("\n".join(["id,pose,text,split", *rows]) + "\n")
    settings = ExportSettings(data=str(tmp_path / "rows.csv"))
    processor = load_processor(source)
    found = clips_of_data(processor, settings)
    expected = [synthesize(text).points.shape for text in ("Where is the school?", "My name is Nora.")]
    assert [clip.points.shape for clip in found] == expected
    cases = gate_cases(processor, {"num_landmarks": 85, "num_coordinates": 3}, found)
    assert [case.name for case in cases][-2:] == ["real, 2 clips together", "real, the first clip alone"]
    assert clips_of_data(processor, ExportSettings(data="synthetic")) == []


def perturbed(monkeypatch: pytest.MonkeyPatch, exported: Path) -> None:
    """Let the next export come out as graphs of slightly other weights: the finished ones, of a model since changed."""
    from slt_hf.export import exporting, graph_writer

    load = exporting.load_source

    def changed(folder: Path) -> tuple[Any, Any]:
        import torch

        model, processor = load(folder)
        with torch.no_grad():
            model.projector.linear.weight[0, 0] += 0.05
        return model, processor

    def finished(specs: Any, folder: Path, opset: int | None = None) -> dict[str, Any]:
        for path in [*exported.glob("*.onnx"), exported / WEIGHTS]:
            shutil.copy(path, folder)
        return {name: ExportFolder.open(exported).manifest[name] for name in ("graphs", "weights")}

    monkeypatch.setattr(exporting, "load_source", changed)
    monkeypatch.setattr(graph_writer, "write_graphs", finished)


def test_a_failing_gate_leaves_nothing_and_says_where(
    source: Path, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    perturbed(monkeypatch, exported)
    smaller_gate(monkeypatch)
    pushed: list[Any] = []
    monkeypatch.setattr("slt_hf.hub.push_folder", lambda *arguments: pushed.append(arguments))
    done = cli("export", source, "--output", tmp_path / "out", "--push", "me/tiny")
    assert done.exit_code == 2
    assert "last_hidden_state of random, 1 frames: last_hidden_state[0, 0]" in done.stderr
    assert list(tmp_path.iterdir()) == [] and pushed == []


def test_an_output_that_is_there_is_not_overwritten(source: Path, tmp_path: Path):
    (tmp_path / "mine.txt").write_text("mine")
    done = cli("export", source, "--output", tmp_path)
    assert done.exit_code == 2 and "expected no such folder" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_unknown_target_is_refused(source: Path, tmp_path: Path):
    done = cli("export", source, "--output", tmp_path / "out", "--to", "coreml")
    assert done.exit_code == 2 and "onnx-int8" in done.stderr


def test_pushed_and_loaded_back_without_torch(
    exported: Path, clips: list[Path], hub_server: HubServer, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patched:
        hub_server.stand_in(patched)
        assert cli("push", exported, "me/tiny-onnx").exit_code == 0
    names = set(hub_server.files("me/tiny-onnx"))
    assert {"encoder.onnx", "decoder.onnx", WEIGHTS, MANIFEST, "README.md"} <= names
    assert not any(name.endswith((".py", ".safetensors")) for name in names)
    there = hub_server.python(WITHOUT_TORCH, "me/tiny-onnx", *map(str, clips))
    translator = SignTranslator.from_pretrained(exported)
    assert there.splitlines()[0].split("|")[0] == translator(clips[0]).text


@pytest.mark.parametrize(
    ("target", "names"),
    [
        ("triton", {"slt_encoder/config.pbtxt", "slt_encoder/1/model.onnx", "slt_decoder/1/model.onnx_data"}),
        ("tensorrt", {"encoder.onnx", WEIGHTS, "tensorrt.json"}),
        ("tensorrt-llm", {"encoder/rank0.safetensors", "pytorch/sign_text_decoder.py", "pytorch/model.safetensors"}),
    ],
)
def test_what_servers_read_is_written_and_pushed(
    source: Path, exported: Path, tmp_path: Path, hub_server: HubServer, monkeypatch: pytest.MonkeyPatch, target: str,
    names: set[str],
):  # fmt: skip
    made_of = source if target == "tensorrt-llm" else exported  # graphs are not traced again
    hub_server.stand_in(monkeypatch)
    done = cli("export", made_of, "--to", target, "--output", tmp_path / "out", "--push", f"me/{target}")
    assert done.exit_code == 0, done.stderr
    there = set(hub_server.files(f"me/{target}"))
    assert names | {"README.md", MANIFEST} <= there
    card = (tmp_path / "out" / "README.md").read_text()
    assert "license: apache-2.0" in card and re.search("not run|neither built nor run", card)
    if target != "tensorrt":
        with pytest.raises(ExportError, match=f"found an export for {target}; run it there"):
            SignTranslator.from_pretrained(tmp_path / "out")


def test_engines_that_a_machine_lacks_are_named_and_the_others_measured(
    source: Path, exported: Path, tmp_path: Path, repository: Path
):
    """The script for GPUs, as far as it runs without one."""
    output = tmp_path / "gpu.json"
    names = ["onnx cpu", "eager float32", "onnx cuda", "tensorrt"]
    command = [sys.executable, repository / "scripts" / "build_tensorrt.py", exported, "--checkpoint", source]
    command += ["--torch-device", "cpu", "--runs", "1", "--tokens", "3", "--batches", "2", "--output", output]
    done = subprocess.run([*map(str, command), "--engines", *names], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(output.read_text())
    assert list(found["seconds"]) == names[:2] and list(found["not_run"]) == names[2:]
    assert "CUDAExecutionProvider" in found["not_run"]["onnx cuda"] and "TensorRT" in found["not_run"]["tensorrt"]
    assert found["seconds"]["eager float32"]["tokens as on the cpu, batch 2"] == 1.0


def test_an_export_without_a_card_is_not_pushed(copy: Path):
    (copy / "README.md").unlink()
    with pytest.raises(HubError, match=r"expected README\.md"):
        from slt_hf.hub import push_folder

        push_folder(copy, "me/tiny")


@pytest.mark.parametrize(
    ("device", "provider", "package"),
    [
        ("cuda", "CUDAExecutionProvider", "onnxruntime-gpu"),
        ("cuda:1", "CUDAExecutionProvider", "onnxruntime-gpu"),
        ("tensorrt", "TensorrtExecutionProvider", "onnxruntime-gpu and TensorRT"),
        ("directml", "DmlExecutionProvider", r"onnxruntime-directml \(Windows\)"),
        ("openvino", "OpenVINOExecutionProvider", "onnxruntime-openvino"),
        ("coreml", "CoreMLExecutionProvider", "onnxruntime on macOS"),
    ],
)
def test_providers_go_by_name(
    exported: Path, monkeypatch: pytest.MonkeyPatch, device: str, provider: str, package: str
):
    with pytest.raises(ExportError, match=f"{device} needs {provider}, .* only cpu; install {package} instead"):
        SignTranslator.from_pretrained(exported, device=device)
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: [provider, "CPUExecutionProvider"])
    name, asked = provider_for(device)
    assert name == device.partition(":")[0] and [each for each, _ in asked] == [provider, "CPUExecutionProvider"]
    assert asked[0][1] == ({"device_id": 1} if device == "cuda:1" else {})
    with pytest.raises(ExportError, match="did not start|cannot run encoder"):  # named as there, and is not
        SignTranslator.from_pretrained(exported, device=device)


def test_an_unknown_device_is_refused(exported: Path):
    with pytest.raises(ExportError, match="expected a device among cpu, cuda"):
        SignTranslator.from_pretrained(exported, device="abacus")


def test_options_that_do_not_fit_an_export_are_refused(exported: Path, clips: list[Path]):
    translator = SignTranslator.from_pretrained(exported, dtype="float32")
    with pytest.raises(RecipeError, match="penalty_alpha"):
        translator(clips[0], penalty_alpha=0.5)
    with pytest.raises(ExportError, match="leave dtype out"):
        SignTranslator.from_pretrained(exported, dtype="bfloat16")
    with pytest.raises(ExportError, match="use SignClassifier for classifiers"):
        SignClassifier.from_pretrained(exported)


def test_sampling_runs_and_keeps_to_its_seed(exported: Path, clips: list[Path]):
    translator = SignTranslator.from_pretrained(exported)
    options: dict[str, Any] = {"do_sample": True, "temperature": 3.0, "max_new_tokens": 12}
    first, again, other = (translator(clips[0], **options, seed=seed).text for seed in (1, 1, 2))
    assert first == again != other


def test_int8_graphs_are_smaller_and_still_run(copy: Path, clips: list[Path]):
    pytest.importorskip("onnx")
    from slt_hf.export.exporting import write_manifest
    from slt_hf.export.quantization import quantize_export

    before = (copy / WEIGHTS).stat().st_size
    entries = quantize_export(copy)
    write_manifest(copy, "SignToTextForConditionalGeneration", entries, "int8")
    assert (copy / WEIGHTS).stat().st_size < 0.6 * before  # small biases and norms stay as they are
    assert SignTranslator.from_pretrained(copy)(clips[0], max_new_tokens=4).text


def report(score: float, task: str = "text") -> dict[str, Any]:
    names = {"text": "bleu_4", "signs": "top_1"}
    return {"task": task, "scores": {names[task]: {"score": score}}, "items": {"references": 9}}


def test_int8_may_lose_a_point_and_no_more():
    from slt_hf.export.quantization import check_int8

    assert check_int8(report(50.0), report(49.1)).passed and check_int8(report(50.0), report(60.0)).passed
    lost = check_int8(report(50.0), report(48.9))
    assert not lost.passed and lost.where == "bleu_4 fell from 50 to 48.9"
    assert not check_int8(report(0.5, "signs"), report(0.48, "signs")).passed  # a share: two points


def test_int8_without_data_to_judge_it_on_is_refused_at_once(source: Path, tmp_path: Path):
    done = cli("export", source, "--output", tmp_path / "out", "--to", "onnx-int8")
    assert done.exit_code == 2 and "int8 is judged on a dev split" in done.stderr and not list(tmp_path.iterdir())


def test_batch_mates_do_not_change_an_exported_translation(exported: Path, clips: list[Path]):
    translator = SignTranslator.from_pretrained(exported)
    together = translator([str(clip) for clip in clips])
    for clip, found in zip(clips, together, strict=True):
        alone = translator(clip)
        assert alone.text == found.text and alone.confidence == pytest.approx(found.confidence, abs=1e-4)


def test_an_export_tells_what_its_text_owes_to_each_moment(source: Path, exported: Path, clips: list[Path]):
    readers = [SignTranslator.from_pretrained(each, device="cpu") for each in (exported, source)]
    ours, theirs = (grounding_heat(reader, str(clips[0]), windows=4) for reader in readers)
    assert ours.text == theirs.text
    np.testing.assert_allclose(ours.lost, theirs.lost, atol=1e-3)
    np.testing.assert_array_equal(ours.starts_ms, theirs.starts_ms)


def test_a_live_stream_takes_an_export(exported: Path):
    from slt_hf.streaming import StreamingTranslator

    stream = StreamingTranslator(SignTranslator.from_pretrained(exported))
    assert stream.fps == 25.0 and stream.live is None  # it is read when the hands go down


def test_the_processor_without_transformers_makes_the_same_arrays(source: Path, exported: Path, clips: list[Path]):
    import slt_hf.modeling  # noqa: F401  registers the classes that the source names

    ours, theirs = load_processor(exported), load_processor(source)
    paths = [str(clip) for clip in clips]
    found, expected = ours(paths, start_ms=[100, None]), theirs(paths, start_ms=[100, None], return_tensors="np")
    assert set(found) == set(expected)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])
