"""MediaPipe Holistic for browsers, which the page finds landmarks with: fetched once from npm, by checksum.

65 MB of another project (Apache-2.0), so it is neither in the repository nor in the wheel.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

from slt_hf.errors import SignDataError
from slt_hf.user_cache import user_cache

PACKAGE, VERSION = "@mediapipe/holistic", "0.5.1675471629"  # the last one that carries its models
CHECKSUM = "sha512-qY+cxtDeSOvVtevrLgnodiwXYaAtPi7dHZtNv/bUCGEjFicAOYtMmrZSqMmbPkTB2+4jLnPF1vgshkAqQRSYAw=="
FILES = (  # all but the body models that the page does not ask for
    "holistic.binarypb", "holistic.js", "holistic_solution_packed_assets.data",
    "holistic_solution_packed_assets_loader.js", "holistic_solution_simd_wasm_bin.data",
    "holistic_solution_simd_wasm_bin.js", "holistic_solution_simd_wasm_bin.wasm", "holistic_solution_wasm_bin.js",
    "holistic_solution_wasm_bin.wasm", "pose_landmark_full.tflite", "package.json",
)  # fmt: skip
HOW_TO_GET = "slt-hf serve --fetch-landmarks"


class LandmarkFinderError(SignDataError):
    """The page's landmark finder could not be fetched, or is not what it should be."""


def folder() -> Path:
    """Where it lies on this machine: SLT_HF_PAGE_LANDMARKS, else the user's cache."""
    return Path(os.environ.get("SLT_HF_PAGE_LANDMARKS") or user_cache() / f"holistic-{VERSION}")


def installed() -> bool:
    return all((folder() / name).is_file() for name in FILES)


def fetch(package: Path | None = None) -> Path:
    """Install it.

    Args:
        package: the npm package as a file, where there is no npm; else npm fetches it.

    Raises:
        LandmarkFinderError: if it cannot be fetched, or is another than the one that was tested.
    """
    with TemporaryDirectory() as temporary:
        unpack(package or packed_by_npm(Path(temporary)), folder())
    return folder()


def packed_by_npm(target: Path) -> Path:
    command = ["npm", "pack", "--silent", "--pack-destination", str(target), f"{PACKAGE}@{VERSION}"]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=600, cwd=target)
    except FileNotFoundError as error:
        raise LandmarkFinderError(
            f"expected npm to fetch {PACKAGE} {VERSION}, found none; install it, or give the package with --from"
        ) from error
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        found = (getattr(error, "stderr", "") or str(error)).strip().splitlines()[-1:]
        raise LandmarkFinderError(
            f"expected npm to fetch {PACKAGE} {VERSION}, found {' '.join(found)}; try again, or give the package "
            "with --from"
        ) from error
    return next(target.glob("*.tgz"))


def unpack(package: Path, target: Path) -> None:
    """Its files, once its checksum is right; the folder appears whole or not at all."""
    found = "sha512-" + base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode()
    if found != CHECKSUM:
        raise LandmarkFinderError(f"{package.name}: expected {CHECKSUM}, found {found}; get {PACKAGE} {VERSION}")
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=target.parent) as temporary, tarfile.open(package) as archive:
        for name in FILES:
            archive.extract(f"package/{name}", temporary, filter="data")
            (Path(temporary) / "package" / name).chmod(0o644)
        shutil.rmtree(target, ignore_errors=True)
        shutil.move(Path(temporary) / "package", target)
