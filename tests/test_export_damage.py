"""What is damaged, edited or points outside is refused in our words, before ONNX Runtime or a server opens it."""

# ruff: noqa: F811 - imported fixtures are named again as arguments

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import cli
from test_export import copy, exported, source  # noqa: F401

from slt_hf import SignTranslator
from slt_hf.errors import CheckpointError, ExportError
from slt_hf.export.folder import MANIFEST, WEIGHTS, digest_of
from slt_hf.export.graph_file import read_graph_facts


def cut(folder: Path) -> None:
    content = (folder / "encoder.onnx").read_bytes()
    (folder / "encoder.onnx").write_bytes(content[: len(content) // 2])


def edit(folder: Path) -> None:
    content = (folder / "decoder.onnx").read_bytes()
    (folder / "decoder.onnx").write_bytes(content.replace(b"Softmax", b"Sigmoid", 1))


def link_outside(folder: Path) -> None:
    (folder / "encoder.onnx").rename(folder.parent / "secret")
    (folder / "encoder.onnx").symlink_to(folder.parent / "secret")


def another_config(folder: Path) -> None:
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | {"text_encoder": "use"}))


def cut_weights(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-64])


def change_manifest(folder: Path, **values: Any) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(manifest | values))


def change_graph(folder: Path, change: Callable[[Any], None]) -> None:
    """Edit a graph and let the manifest agree, as somebody would who made the whole export."""
    import onnx

    path = folder / "encoder.onnx"
    model = onnx.load(path, load_external_data=False)
    change(model)
    path.write_bytes(model.SerializeToString())
    graphs = json.loads((folder / MANIFEST).read_text())["graphs"]
    graphs["encoder"]["sha256"] = digest_of(path.read_bytes())
    change_manifest(folder, graphs=graphs)


def point_outside(model: Any) -> None:
    tensor = next(each for each in model.graph.initializer if each.external_data)
    next(entry for entry in tensor.external_data if entry.key == "location").value = "../../secret"


def stranger(model: Any) -> None:
    tensor = next(each for each in model.graph.initializer if each.external_data)
    next(entry for entry in tensor.external_data if entry.key == "location").value = "others.bin"


def custom_operator(model: Any) -> None:
    model.graph.node[3].domain = "evil"


def future_opset(model: Any) -> None:
    model.opset_import[0].version = 99


def future_ir(model: Any) -> None:
    model.ir_version = 99


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "graph cut": (cut, r"encoder\.onnx: expected a whole ONNX model"),
    "graph edited": (edit, r"decoder\.onnx: expected the graph that was exported, found an edited one"),
    "graph absent": (lambda folder: (folder / "decoder.onnx").unlink(), r"decoder\.onnx: expected a graph, found no"),
    "another model's config": (another_config, r"config\.json: expected the file that the graphs were exported with"),
    "weights absent": (lambda folder: (folder / WEIGHTS).unlink(), "expected the graphs' weights, found no such file"),
    "weights cut": (cut_weights, r"expected \d+ bytes, found \d+"),
    "later format": (lambda folder: change_manifest(folder, format=2), "expected format 1 with its graphs, found 2"),
    "weights outside": (lambda folder: change_manifest(folder, weights={"../w": 1}), "cannot point outside"),
    "graph outside": (
        lambda folder: change_manifest(folder, graphs={"encoder": {"file": "/etc/passwd", "sha256": ""}}),
        "cannot point outside",
    ),
    "config outside": (lambda folder: change_manifest(folder, configs={"../c.json": ""}), "cannot point outside"),
    "tensor outside": (lambda folder: change_graph(folder, point_outside), "cannot point outside"),
    "tensor in another file": (lambda folder: change_graph(folder, stranger), "found a graph that reads others.bin"),
    "link outside": (link_outside, "expected a file, found a link to .*secret; an export cannot point outside"),
    "name outside": (
        lambda folder: change_manifest(folder, graphs={"../x": {"file": "encoder.onnx", "sha256": ""}}),
        "cannot point outside",
    ),
    "custom operator": (lambda folder: change_graph(folder, custom_operator), "standard ONNX operators only.*evil"),
    "future opset": (lambda folder: change_graph(folder, future_opset), "found opset 99"),
    "future IR": (lambda folder: change_graph(folder, future_ir), "IR 99"),
    "no architecture": (lambda folder: change_manifest(folder, architecture=None), "expected an architecture"),
    "graphs of another shape": (lambda folder: change_manifest(folder, graphs={"encoder": 1}), "graphs, weights and"),
    "weights of another shape": (lambda folder: change_manifest(folder, weights=[1]), "graphs, weights and configs"),
    "no configs": (lambda folder: change_manifest(folder, configs=None), "graphs, weights and configs"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_export_is_refused(copy: Path, name: str):
    damage, message = DAMAGE[name]
    if "change_graph" in damage.__code__.co_names:
        pytest.importorskip("onnx")
    damage(copy)
    with pytest.raises(ExportError, match=message):
        SignTranslator.from_pretrained(copy)


@pytest.mark.parametrize("target", ["triton", "tensorrt"])
@pytest.mark.parametrize("name", ["graph edited", "tensor outside", "custom operator", "weights cut", "link outside"])
def test_a_damaged_export_is_not_handed_to_a_server(copy: Path, tmp_path: Path, name: str, target: str):
    """Servers open files by themselves: nothing reaches them that was not looked at."""
    damage, message = DAMAGE[name]
    damage(copy)
    done = cli("export", copy, "--to", target, "--output", tmp_path / "out")
    assert done.exit_code == 2 and re.search(message, done.stderr) and not (tmp_path / "out").exists()


def test_what_a_server_reads_is_no_source_of_graphs(copy: Path, tmp_path: Path):
    change_manifest(copy, target="triton")
    done = cli("export", copy, "--to", "tensorrt", "--output", tmp_path / "out")
    assert done.exit_code == 2 and "expected a checkpoint or its ONNX export, found one for triton" in done.stderr


def test_links_of_the_hubs_cache_are_followed(copy: Path, tmp_path: Path):
    """models--me--tiny/snapshots/abc/encoder.onnx -> ../../blobs/..."""
    snapshot = tmp_path / "models--me--tiny" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    copy.rename(tmp_path / "models--me--tiny" / "blobs")
    for path in (tmp_path / "models--me--tiny" / "blobs").iterdir():
        (snapshot / path.name).symlink_to(Path("../../blobs") / path.name)
    assert SignTranslator.from_pretrained(snapshot).engine is not None


def test_only_an_exports_own_files_go_to_tensorrt(copy: Path, tmp_path: Path):
    (copy / "tensorrt_engines").mkdir()
    (copy / "private.txt").write_text("mine")
    assert cli("export", copy, "--to", "tensorrt", "--output", tmp_path / "out").exit_code == 0
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"encoder.onnx", WEIGHTS, "README.md", "card.yaml", "tensorrt.json", "tokenizer.json"} <= written
    assert not {"tensorrt_engines", "private.txt"} & written


def test_a_damaged_manifest_is_refused(copy: Path):
    (copy / MANIFEST).write_text("{")
    with pytest.raises(CheckpointError, match="expected JSON"):
        SignTranslator.from_pretrained(copy)


def test_graphs_of_any_bytes_are_read_or_refused(exported: Path):
    random, content = np.random.default_rng(0), (exported / "decoder.onnx").read_bytes()
    for _ in range(200):
        changed = bytearray(content[: random.integers(1, len(content))])
        for place in random.integers(0, len(changed), 8):
            changed[place] = random.integers(0, 256)
        with contextlib.suppress(ExportError):
            read_graph_facts(bytes(changed), Path("x"))


def test_graphs_in_graphs_without_end_are_refused():
    def message(number: int, content: bytes) -> bytes:
        length, size = b"", len(content)
        while size >= 128:
            length, size = length + bytes([size & 127 | 128]), size >> 7
        return bytes([number << 3 | 2]) + length + bytes([size]) + content

    graph = b""
    for _ in range(3000):
        graph = message(1, message(5, message(6, graph)))  # a node with an attribute with a graph
    with pytest.raises(ExportError, match="expected a whole ONNX model"):
        read_graph_facts(message(7, graph), Path("x"))


def test_weights_that_the_graph_does_not_fit_are_refused(copy: Path):
    """A digest that fits is not enough: ONNX Runtime has the last word, in our words."""
    pytest.importorskip("onnx")

    def widen(model: Any) -> None:
        tensor = next(each for each in model.graph.initializer if each.external_data)
        next(entry for entry in tensor.external_data if entry.key == "offset").value = str(10**9)

    change_graph(copy, widen)
    with pytest.raises(ExportError, match="ONNX Runtime cannot run encoder"):
        SignTranslator.from_pretrained(copy)
