"""Every command in README and guides could be typed as it stands: it exists, with these options and arguments."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from slt_hf.cli.main import app

REPOSITORY = Path(__file__).resolve().parent.parent
PAGES = ["README.md", "CONTRIBUTING.md", "deploy/README.md", *(f"docs/{p.name}" for p in REPOSITORY.glob("docs/*.md"))]
OWN = r"`((?:slt_hf|scripts|tests|benchmarks|results|processing|modeling|docs|deploy)/[\w./-]+)`"
OF_USERS = {"keys.txt", "deploy/docker/keys.txt"}  # files that the reader makes


def shell_lines(page: str) -> Iterator[str]:
    """Lines of shell: fenced blocks, and indented ones that begin with a command; continued lines are joined."""
    text = (REPOSITORY / page).read_text().replace("\\\n", " ")
    fenced = "\n".join(re.findall(r"^```(?:bash|sh)\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
    yield from (line for line in fenced.splitlines() if line.strip())
    yield from re.findall(r"^    ((?:slt-hf|pip|python|make) .*)", text, re.MULTILINE)


def words_of(line: str) -> list[str]:
    """The words of a shell line, without its comment, variables set before it, and where its output goes."""
    words = shlex.split(line, comments=True)
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    return words[: words.index(">")] if ">" in words else words


def commands(program: str) -> list[Any]:
    found = [(page, line) for page in PAGES for line in shell_lines(page) if words_of(line)[:1] == [program]]
    return [pytest.param(words_of(line), id=f"{page}: {' '.join(words_of(line))}") for page, line in found]


@pytest.mark.parametrize("words", commands("slt-hf"))
def test_a_command_parses(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for name in OF_USERS & set(words):
        Path(name).touch()
    group: Any = get_command(app)
    assert words[1] in group.commands
    if words[2:] != ["--help"]:
        group.commands[words[1]].make_context(words[1], words[2:])


def test_commands_between_backticks_exist_with_their_options():
    group: Any = get_command(app)
    for page in PAGES:
        for name, rest in re.findall(r"`slt-hf ([a-z][\w-]*)([^`&]*)[`&]", (REPOSITORY / page).read_text()):
            known = {option for parameter in group.commands[name].params for option in parameter.opts}
            assert set(re.findall(r"(?<= )--[a-z-]+", rest)) <= known | {"--help"}, (page, name, rest)


def scripts() -> list[Any]:
    """Scripts of the tree with what follows them, whatever launches them."""
    found = []
    for page in PAGES:
        for line in shell_lines(page):
            words = words_of(line)
            script = next((word for word in words if re.fullmatch(r"(scripts|benchmarks)/\w+\.py", word)), None)
            if script is not None:
                marks = [pytest.mark.slow] if "vlm" in script else []  # trl alone takes seconds to import
                found.append(
                    pytest.param(script, words[words.index(script) + 1 :], id=f"{page}: {script}", marks=marks)
                )
    return found


@pytest.mark.parametrize(("script", "given"), scripts())
def test_a_script_is_there_with_its_recipe_and_options(script: str, given: list[str], monkeypatch: pytest.MonkeyPatch):
    assert (REPOSITORY / script).is_file()
    assert not [word for word in given if word.startswith("scripts/") and not (REPOSITORY / word).is_file()]
    options = {word.removeprefix("--").partition("=")[0] for word in given if word.startswith("--")}
    assert options <= options_of(REPOSITORY / script, monkeypatch)


def options_of(script: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of a script's options: fields of the dataclasses that it parses, or what its argparse is told."""
    source = script.read_text()
    if "parse_recipe" not in source:
        return set(re.findall(r"add_argument\(\s*\"--([\w-]+)\"", source))
    spec: Any = importlib.util.spec_from_file_location(f"shown_{script.stem}", script)
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    asked: list[Any] = []

    def note(classes: Any) -> None:
        asked.extend(classes)
        raise InterruptedError

    monkeypatch.setattr(module, "parse_recipe", note)
    with pytest.raises(InterruptedError):
        module.main()
    return {field.name for each in asked for field in dataclasses.fields(each)}


def test_targets_of_make_and_extras_of_pip_exist():
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    for page in PAGES:
        text = (REPOSITORY / page).read_text()
        assert set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)) <= targets, page
        extras = {name for each in re.findall(r"(?:slt_hf|\.)\[([a-z,]+)\]", text) for name in each.split(",")}
        assert extras <= set(project["optional-dependencies"]), page


@pytest.mark.parametrize("page", PAGES)
def test_files_and_links_named_are_there(page: str):
    text = (REPOSITORY / page).read_text()
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert not [link for link in links if link and not ((REPOSITORY / page).parent / link).exists()]
    named = set(re.findall(OWN, text)) - OF_USERS
    assert not [name for name in named if not (REPOSITORY / name).exists()]
