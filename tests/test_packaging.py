"""What is built contains what the checkout contains: the links of the tree become real folders in sdist and wheel."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

# Build output and environments; everything else travels.
IGNORED = shutil.ignore_patterns(".git", ".venv*", "build", "dist", "*.egg-info", "__pycache__", ".*_cache", "outputs")
BUILD = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"


def build(kind: str, source: Path, target: Path) -> Path:
    """Run setuptools on `source` as pip would, without fetching anything."""
    command = [sys.executable, "-c", BUILD, kind, str(target)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target / done.stdout.splitlines()[-1]


def package_files(repository: Path) -> set[str]:
    """Files below slt_hf/ that belong into a wheel, links followed."""
    kinds = {".py", ".yaml", ".json", ".md", ".safetensors", ".html", ".jinja", ".txt", ".typed"}
    found = {path for link in repository.glob("slt_hf/*") if link.is_dir() for path in link.rglob("*")}
    inside = found | set(repository.glob("slt_hf/*"))
    files = {
        path for path in inside if path.is_file() and path.suffix in kinds | {""} and "__pycache__" not in path.parts
    }
    return {path.relative_to(repository).as_posix() for path in files if path.suffix in kinds}


@pytest.fixture(scope="module")
def wheel_names(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names in the wheel that is built from the sdist, as pip builds it for those who install from source."""
    folder = tmp_path_factory.mktemp("packaging")
    shutil.copytree(repository, folder / "checkout", symlinks=True, ignore=IGNORED)
    sdist = build("build_sdist", folder / "checkout", folder)
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    wheel = build("build_wheel", folder / sdist.name.removesuffix(".tar.gz"), folder)
    return set(zipfile.ZipFile(wheel).namelist())


def test_wheel_from_sdist_holds_every_file_of_the_package(wheel_names: set[str], repository: Path):
    assert package_files(repository) - wheel_names == set()


@pytest.mark.parametrize("part", ["modeling", "processing", "model_cards", "checkpoints/demo", "synthesis"])
def test_wheel_from_sdist_holds(part: str, wheel_names: set[str]):
    assert any(name.startswith(f"slt_hf/{part}/") for name in wheel_names)


def test_wheel_holds_one_top_level_package(wheel_names: set[str]):
    assert {name.split("/")[0] for name in wheel_names if ".dist-info" not in name} == {"slt_hf"}


@pytest.mark.parametrize("name", ["modeling", "processing", "model_cards"])
def test_links_are_committed_as_relative_links(name: str, repository: Path):
    link = repository / "slt_hf" / name
    if not link.is_symlink():
        pytest.skip("this checkout was made without links (git on Windows without core.symlinks)")
    assert link.readlink().as_posix() == f"../{name}"


def test_each_extra_used_in_a_hint_exists(repository: Path):
    from slt_hf.environment import USES

    extras = tomllib.loads((repository / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    hinted = {use.remedy.partition("[")[2].partition("]")[0] for use in USES}
    assert hinted <= set(extras)


def test_version_is_stated_once_and_reported(repository: Path):
    import slt_hf

    stated = tomllib.loads((repository / "pyproject.toml").read_text())["project"]["version"]
    assert slt_hf.__version__ == stated
    assert f"## {stated}" in (repository / "CHANGELOG.md").read_text()


def test_pinned_set_satisfies_the_ranges(repository: Path):
    from packaging.requirements import Requirement

    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    pins = dict(line.split("==") for line in (repository / "constraints.txt").read_text().splitlines() if "==" in line)
    normal = {name.lower().replace("_", "-"): version.split("#")[0].strip() for name, version in pins.items()}
    for requirement in (Requirement(text) for group in lists for text in group):
        version = normal.get(requirement.name.lower().replace("_", "-"))
        assert version is None or requirement.specifier.contains(version), f"{requirement} is not met by {version}"


def test_no_file_of_the_package_names_a_place_of_one_machine(repository: Path):
    own = [
        path
        for folder in ("slt_hf", "modeling", "processing", "scripts")
        for path in (repository / folder).rglob("*.py")
    ]
    for path in own:
        strings = [node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)]
        places = (f"{Path.home()}/", f"{repository}/", "/home/")
        assert not [text for text in strings if isinstance(text, str) and text.startswith(places)]
