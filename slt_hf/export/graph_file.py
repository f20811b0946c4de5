"""What a graph file says about itself, read from its bytes: operator sets, where its weights lie, its shape as a graph.

ONNX files are protocol buffers. Reading the dozen fields that safety asks about takes fifty lines; the `onnx` package,
which `slt-hf[onnx]` does not install, takes a second to import.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slt_hf.errors import ExportError

# numbers of fields in onnx.proto
MODEL_IR, MODEL_GRAPH, MODEL_OPSETS, MODEL_FUNCTIONS = 1, 7, 8, 25
GRAPH_NODES, GRAPH_WEIGHTS, GRAPH_SPARSE = 1, 5, 15
NODE_ATTRIBUTES, NODE_OPERATOR, NODE_DOMAIN = 5, 4, 7
ATTRIBUTE_TENSORS, ATTRIBUTE_GRAPHS = (5, 10), (6, 11)
TENSOR_EXTERNAL = 13
STANDARD = {"", "ai.onnx"}
NEWEST_OPSET, NEWEST_IR = 26, 13  # of onnxruntime 1.31


@dataclass
class GraphFacts:
    """Attributes:
    opsets: domain -> version.
    operators: (domain, operator) of every node.
    files: names of the files that hold weights, relative to the graph's folder.
    """

    ir_version: int = 0
    opsets: dict[str, int] = field(default_factory=dict)
    operators: set[tuple[str, str]] = field(default_factory=set)
    files: set[str] = field(default_factory=set)
    has_graph: bool = False


def read_graph_facts(content: bytes, path: Path) -> GraphFacts:
    """Facts of an ONNX file.

    Raises:
        ExportError: if the bytes are not a whole ONNX model.
    """
    facts = GraphFacts()
    try:
        for number, value in fields(memoryview(content)):
            if number == MODEL_IR:
                facts.ir_version = int(value)
            elif number == MODEL_OPSETS:
                named = dict(fields(value))
                facts.opsets[text(named.get(1, b""))] = int(named.get(2, 0))
            elif number == MODEL_GRAPH:
                facts.has_graph = True
                read_graph(value, facts)
            elif number == MODEL_FUNCTIONS:
                read_nodes((part for kind, part in fields(value) if kind == 7), facts)
    except (IndexError, ValueError, TypeError, RecursionError) as error:  # the last: graphs in graphs in graphs
        raise damaged(path, str(error)) from error
    if not facts.has_graph or not facts.opsets:
        raise damaged(path, "no graph in it")
    return facts


def check_graph(facts: GraphFacts, path: Path) -> None:
    """Only standard operators, of a version that the runtime knows, and weights in the graph's own folder.

    Raises:
        ExportError: naming what is wrong.
    """
    strange = sorted(f"{domain}::{name}" for domain, name in facts.operators if domain not in STANDARD)
    strange += sorted(domain for domain in facts.opsets if domain not in STANDARD)
    if strange:
        raise ExportError(
            f"{path}: expected standard ONNX operators only, found {', '.join(strange[:3])}; export it again"
        )
    version = max(facts.opsets.values())
    if version > NEWEST_OPSET or facts.ir_version > NEWEST_IR:
        raise ExportError(
            f"{path}: expected opset {NEWEST_OPSET} and IR {NEWEST_IR} at most, found opset {version} and IR "
            f"{facts.ir_version}; upgrade slt_hf and onnxruntime, or export the checkpoint again"
        )
    for name in sorted(facts.files):
        check_inside(name, path)


def check_inside(name: str, where: Path) -> str:
    """A plain file name: no folder, no drive, no way out.

    Raises:
        ExportError: otherwise.
    """
    if not name or name in (".", "..") or any(sign in name for sign in "/\\:\0"):
        raise ExportError(
            f"{where}: expected the name of a file in the same folder, found {name!r}; an export cannot point outside "
            "its folder, do not trust this one"
        )
    return name


def damaged(path: Path, reason: str) -> ExportError:
    return ExportError(f"{path}: expected a whole ONNX model, found damage ({reason}); fetch or export it again")


def read_graph(graph: memoryview, facts: GraphFacts) -> None:
    nodes: list[memoryview] = []
    for number, value in fields(graph):
        if number == GRAPH_NODES:
            nodes.append(value)
        elif number == GRAPH_WEIGHTS:
            read_tensor(value, facts)
        elif number == GRAPH_SPARSE:  # a sparse tensor is two plain ones: values and indices
            for kind, part in fields(value):
                if kind in (1, 2):
                    read_tensor(part, facts)
    read_nodes(iter(nodes), facts)


def read_nodes(nodes: Iterator[memoryview], facts: GraphFacts) -> None:
    for node in nodes:
        operator, domain = "", ""
        for number, value in fields(node):
            if number == NODE_OPERATOR:
                operator = text(value)
            elif number == NODE_DOMAIN:
                domain = text(value)
            elif number == NODE_ATTRIBUTES:
                read_attribute(value, facts)
        facts.operators.add((domain, operator))


def read_attribute(attribute: memoryview, facts: GraphFacts) -> None:
    for number, value in fields(attribute):
        if number in ATTRIBUTE_TENSORS:
            read_tensor(value, facts)
        elif number in ATTRIBUTE_GRAPHS:
            read_graph(value, facts)


def read_tensor(tensor: memoryview, facts: GraphFacts) -> None:
    for number, value in fields(tensor):
        if number == TENSOR_EXTERNAL:
            entry = dict(fields(value))
            if text(entry.get(1, b"")) == "location":
                facts.files.add(text(entry.get(2, b"")))


def text(value: Any) -> str:
    return bytes(value).decode("utf-8")


def fields(message: memoryview) -> Iterator[tuple[int, Any]]:
    """(field number, value) of a message: bytes of what has a length, integers of the rest."""
    place, end = 0, len(message)
    while place < end:
        key, place = varint(message, place)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, place = varint(message, place)
            yield number, value
            continue
        if kind == 2:
            length, place = varint(message, place)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ValueError(f"unknown wire type {kind}")
        if place + length > end:
            raise ValueError("it ends too early")
        yield number, message[place : place + length]
        place += length


def varint(message: memoryview, place: int) -> tuple[int, int]:
    value = message[place]
    place += 1
    if value < 128:
        return value, place
    value &= 127
    shift = 7
    while True:
        byte = message[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
        shift += 7
        if shift > 63:
            raise ValueError("a number without end")
