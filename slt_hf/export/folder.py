"""The folder of an exported checkpoint: what is in it, and whether it is still what was written.

`export.json` names every graph with its digest, the weights' file with its size, and the digest of the configs that
the graphs were made from. It is written last, so a folder that has it is whole.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slt_hf.checkpoint import read_json
from slt_hf.errors import ExportError
from slt_hf.export.graph_file import check_graph, check_inside, read_graph_facts

MANIFEST = "export.json"
WEIGHTS = "model.onnx_data"  # of all graphs, each weight once
FORMAT = 1
CONFIGS = (
    "config.json", "generation_config.json", "processor_config.json", "preprocessor_config.json", "tokenizer.json",
    "tokenizer_config.json", "label_ngrams.json", "calibration.json",
)  # fmt: skip
TOLD = ("README.md", "card.yaml", "export_report.json", "export_report.md")


@dataclass(frozen=True)
class ExportFolder:
    """An export that has been looked at.

    Attributes:
        manifest: `export.json`.
    """

    path: Path
    manifest: dict[str, Any]

    @classmethod
    def open(cls, path: str | os.PathLike) -> ExportFolder:
        """Read `export.json` and check that the configs are those of the export.

        Raises:
            ExportError: if the manifest is damaged, of a later format, or the configs are another model's.
        """
        folder = Path(path)
        manifest = read_json(folder, MANIFEST)
        if manifest.get("format") != FORMAT:
            raise ExportError(
                f"{folder / MANIFEST}: expected format {FORMAT} with its graphs, found {manifest.get('format')!r}; "
                "upgrade slt_hf, or export the checkpoint again"
            )
        if not is_whole(manifest):
            raise ExportError(
                f"{folder / MANIFEST}: expected an architecture, and graphs, weights and configs by name, found "
                "others; fetch the export again, or export the checkpoint again"
            )
        opened = cls(folder, manifest)
        for name in opened.graphs:  # servers' folders are called after them
            check_inside(name, folder / MANIFEST)
        opened.check_configs()
        return opened

    def check_configs(self) -> None:
        for name, digest in self.manifest["configs"].items():
            path = self._place(name)
            if not path.is_file() or digest_of(path.read_bytes()) != digest:
                found = "another one" if path.is_file() else "none"
                raise ExportError(
                    f"{path}: expected the file that the graphs were exported with, found {found}; take graphs and "
                    "configs of one export"
                )

    @property
    def graphs(self) -> tuple[str, ...]:
        return tuple(self.manifest["graphs"])

    def graph_path(self, name: str) -> Path:
        """A graph's file, not looked at.

        Raises:
            ExportError: if the export does not have it.
        """
        entry = self.manifest["graphs"].get(name)
        if entry is None:
            found = ", ".join(self.graphs) or "none"
            raise ExportError(f"{self.path}: expected a graph {name!r}, found {found}; export it again")
        return self._place(entry["file"])

    def graph_bytes(self, name: str) -> bytes:
        """A graph, checked.

        Raises:
            ExportError: if it is absent, cut, edited, or asks for what it may not have.
        """
        path = self.graph_path(name)
        content = self._read(path)
        facts = read_graph_facts(content, path)  # damage is the better message where it is damage
        if digest_of(content) != self.manifest["graphs"][name]["sha256"]:
            raise ExportError(f"{path}: expected the graph that was exported, found an edited one; export it again")
        check_graph(facts, path)
        if strangers := sorted(facts.files - set(self.manifest["weights"])):
            raise ExportError(
                f"{path}: expected weights in {', '.join(self.manifest['weights'])}, found a graph that reads "
                f"{strangers[0]}; export it again"
            )
        return content

    def check_graphs(self) -> None:
        """Check all that other programs would open by themselves: every graph, and the weights.

        Raises:
            ExportError: as `graph_bytes` and `weight_files` do.
        """
        self.weight_files()
        for name in self.graphs:
            self.graph_bytes(name)

    def weight_files(self) -> dict[str, Path]:
        """Names in the graphs -> files that hold the weights.

        Raises:
            ExportError: if one is absent or of another size.
        """
        found = {}
        for name, size in self.manifest["weights"].items():
            path = self._place(name)
            if not path.is_file():
                raise ExportError(f"{path}: expected the graphs' weights, found no such file; fetch the export again")
            if path.stat().st_size != size:
                raise ExportError(
                    f"{path}: expected {size} bytes, found {path.stat().st_size}; fetch or export it again"
                )
            found[name] = path
        return found

    def files(self) -> list[Path]:
        """All that an export is; whatever else lies in its folder is none of it."""
        named = [*(entry["file"] for entry in self.manifest["graphs"].values()), *self.manifest["weights"]]
        named += [*self.manifest["configs"], MANIFEST, *TOLD]
        return [path for path in map(self._place, named) if path.is_file()]

    def _place(self, name: str) -> Path:
        """A file of the export, which may be a link into the Hub's cache and to nowhere else.

        Raises:
            ExportError: if name or link leaves the folder.
        """
        path = self.path / check_inside(name, self.path / MANIFEST)
        if path.is_symlink():
            own = self.path.resolve()
            if not any(path.resolve().is_relative_to(place) for place in (own, own.parent.parent / "blobs")):
                raise ExportError(
                    f"{path}: expected a file, found a link to {path.resolve()}; an export cannot point outside its "
                    "folder, put the file there"
                )
        return path

    def _read(self, path: Path) -> bytes:
        try:
            return path.read_bytes()
        except FileNotFoundError:
            raise ExportError(f"{path}: expected a graph, found no such file; fetch or export it again") from None


def is_whole(manifest: dict[str, Any]) -> bool:
    """Whether `export.json` has all that is read of it, each of its kind."""
    parts = [manifest.get(name) for name in ("graphs", "weights", "configs")]
    if not isinstance(manifest.get("architecture"), str) or not all(isinstance(part, dict) for part in parts):
        return False
    graphs, weights, configs = (list(part.values()) for part in parts if isinstance(part, dict))
    named = [entry.get(key) for entry in graphs if isinstance(entry, dict) for key in ("file", "sha256")]
    return (
        len(named) == 2 * len(graphs)
        and all(isinstance(value, str) for value in named + configs)
        and all(isinstance(size, int) for size in weights)
    )


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def digests_of_configs(folder: Path) -> dict[str, str]:
    return {name: digest_of((folder / name).read_bytes()) for name in CONFIGS if (folder / name).is_file()}
