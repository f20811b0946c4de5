"""Load an export's model repository in the real Triton server, and hold its sentences against the export's own.

    slt-hf export MODEL --output graphs
    slt-hf export graphs --to triton --output repository
    python -m venv triton && triton/bin/pip install nvidia-pytriton "slt_hf[onnx]"      # numpy < 2: apart from the rest
    triton/bin/python scripts/check_triton.py repository --export graphs

The server is the one inside `nvidia-pytriton`, which has no backend but Python's; there, what computes is
`triton_standin_backend.py`. With a server of NVIDIA's containers (`--server`, `--backends`) it is Triton's own.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SENTENCES = ("My name is Nora.", "Where is the school?", "The doctor works today.")
CALLS: tuple[dict[str, Any], ...] = ({"num_beams": 1}, {"num_beams": 4})  # a checkpoint's own default may be either


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repository", type=Path, help="what `slt-hf export --to triton` wrote")
    parser.add_argument("--export", type=Path, required=True, help="the graphs that it was made of")
    parser.add_argument("--server", type=Path, default=None, help="tritonserver; nvidia-pytriton's if left out")
    parser.add_argument("--backends", type=Path, default=None, help="the server's backends, with onnxruntime's")
    parser.add_argument("--prefix", default="slt", help="of the models' names")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        server = arguments.server or pytriton_folder() / "bin" / "tritonserver"
        backends = arguments.backends or standin_backends(Path(temporary) / "backends")
        with running(server, backends, arguments.repository, Path(temporary) / "log.txt") as port:
            compare(port, arguments)


def compare(port: int, arguments: argparse.Namespace) -> None:
    """Greedy and beam sentences of the server and of the export, for clips alone and together."""
    import tritonclient.grpc

    from slt_hf import SignTranslator
    from slt_hf.export.triton_engine import TritonGenerator
    from slt_hf.synthesis.synthesizer import synthesize

    client = tritonclient.grpc.InferenceServerClient(f"localhost:{port}")
    local = SignTranslator.from_pretrained(arguments.export, device="cpu")
    remote = SignTranslator(local.processor, TritonGenerator(client, arguments.repository, arguments.prefix))
    clips = [synthesize(sentence) for sentence in SENTENCES]
    for options in CALLS:
        for given in (clips[:1], clips):
            found, expected = ([each.text for each in side(given, **options)] for side in (remote, local))
            print(f"{len(given)} clips, {options['num_beams']} beams: {found}")
            if found != expected:
                raise SystemExit(f"the server's sentences differ: expected {expected}")
    models = [entry.name for entry in client.get_model_repository_index().models if entry.state == "READY"]
    print(f"Triton {client.get_server_metadata().version} loaded {', '.join(sorted(models))} and said the same")


def pytriton_folder() -> Path:
    import pytriton

    return Path(pytriton.__file__).parent / "tritonserver"


def standin_backends(folder: Path) -> Path:
    """The Python backend with the stub of this Python, and ours under the name of ONNX Runtime's."""
    own = pytriton_folder()
    shutil.copytree(own / "backends" / "python", folder / "python")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = folder / "python" / "triton_python_backend_stub"
    shutil.copyfile(own / "python_backend_stubs" / version / stub.name, stub)
    stub.chmod(0o755)
    (folder / "onnxruntime").mkdir()
    shutil.copyfile(Path(__file__).parent / "triton_standin_backend.py", folder / "onnxruntime" / "model.py")
    return folder


@contextlib.contextmanager
def running(server: Path, backends: Path, repository: Path, log: Path) -> Iterator[int]:
    """A server of the repository on loopback; yields its gRPC port once all models are ready."""
    ports = {name: free_port() for name in ("grpc-port", "http-port")}
    command = [server, f"--model-repository={repository.resolve()}", f"--backend-directory={backends.resolve()}"]
    command += [f"--{name}={port}" for name, port in ports.items()]
    command += ["--grpc-address=127.0.0.1", "--http-address=127.0.0.1", "--allow-metrics=false"]
    libraries = pytriton_folder().parent.parent / "nvidia_pytriton.libs"
    before = {"LD_LIBRARY_PATH": libraries, "PATH": Path(sys.prefix) / "bin"}  # its Python is the first of the PATH
    environment = os.environ | {name: f"{own}:{os.environ.get(name, '')}" for name, own in before.items()}
    with log.open("wb") as file:
        process = subprocess.Popen(list(map(str, command)), env=environment, stdout=file, stderr=subprocess.STDOUT)
    try:
        wait_until_ready(process, ports["grpc-port"], log)
        yield ports["grpc-port"]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path, seconds: float = 180) -> None:
    import tritonclient.grpc

    client = tritonclient.grpc.InferenceServerClient(f"localhost:{port}")
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(tritonclient.grpc.InferenceServerException):
            if client.is_server_ready():
                return
        time.sleep(0.5)
    raise SystemExit(f"Triton did not get ready:\n{log.read_text(errors='replace')[-4000:]}")


def free_port() -> int:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return int(place.getsockname()[1])


if __name__ == "__main__":
    main()
