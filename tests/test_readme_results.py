"""The tables of results say what the files in results/ say."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def script(repository: Path) -> Any:
    spec: Any = importlib.util.spec_from_file_location("readme_results", repository / "scripts/readme_results.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_row_stands_on_the_page_with_its_command(script: Any):
    page = script.whole_page()
    for sources in script.SECTIONS.values():
        for source, rows in sources.items():
            for what, result, command in script.rows_of(source, rows):
                assert f"| {what} | {result} |" in page and f"`{command}` → [{source}]" in page


def test_readme_shows_the_headlines_alone(script: Any):
    text = f"above\n{script.BEGIN}\n| yesterday |\n{script.END}\nbelow\n"
    shown = script.readme_with(text)
    assert shown.startswith("above\n") and shown.endswith("\nbelow\n") and "yesterday" not in shown
    rows = shown.splitlines()[4:-2]
    assert [row.startswith(f"| {start}") for row, start in zip(rows, script.HEADLINES, strict=True)] == [True] * len(
        rows
    )
    assert set(rows) <= set(script.whole_page().splitlines())


def test_a_headline_that_is_measured_no_more_is_an_error(script: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(script, "HEADLINES", ("accuracy on Mars",))
    with pytest.raises(ValueError, match="Mars"):
        script.short_table()


def test_the_page_is_as_the_script_writes_it(script: Any, repository: Path):
    assert (repository / "docs/results.md").read_text() == script.whole_page(), "run scripts/readme_results.py"
