"""Load on a server of our own on loopback: live streams at a camera's rate, and clips from many callers.

    python benchmarks/serving.py --streams 30 --seconds 60 --callers 8 --requests 20000 --output results/serving.json
    python benchmarks/serving.py --soak-minutes 60 --output results/serving_soak.json

The client runs on the same cores as the server, takes its share of them, and says how large that was. Streams: each
replays a sentence over and over, at a camera's rate; they begin at moments spread over its length, as people do who
know nothing of each other. `delay_ms` is the time from sending a frame to the event that had read it, all work of that
frame and of the streams before it included. They are measured twice, in processes of their own and beside the clips
(`--stream-processes 0`), and `processes_against_none` holds the ratios.

`requests` are callers who ask again as soon as they are answered. `overhead` is the same with a model that does
nothing, so reading 700 kB of poses, checking, queueing and answering: at the rate of requests that the callers had with
the bundled model, that is, as much as the server itself adds for them; and `saturated`, without a pause: there each
caller waits for the requests of all others, and for the client's own processor time, by construction. Processor time of
server and client for a request stand beside both. A soak goes on with two streams and two unhurried callers, another
sentence every minute, until the time is over and 340 clips a minute, so 20,000 in an hour, are answered, which a busy
machine takes longer for; it looks at the server's memory every minute.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np

from slt_hf.demonstration import sign_unseen
from slt_hf.processing.pose_clip import PoseClip
from slt_hf.processing.pose_files import pose_bytes
from slt_hf.serving.client import next_event, stream_address
from slt_hf.serving.frames import HEADER, write_frame

FPS = 25


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each stream")
    parser.add_argument("--callers", type=int, default=8)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--stream-processes", type=int, default=2, help="0: beside the clips")
    parser.add_argument("--soak-minutes", type=float, default=0.0, help="instead of the rest")
    parser.add_argument("--output", type=Path)
    asked = parser.parse_args()
    clip = sign_unseen(seed=2)[1]
    found: dict[str, Any] = {"command": "python " + " ".join(sys.argv), "cores": os.cpu_count()}
    if asked.soak_minutes:
        with server(f"{{'bundled': None}}, stream_processes={asked.stream_processes}") as (port, process):
            for found["soak"] in soak(port, process, asked.soak_minutes):
                save(found, asked.output)
    else:
        found |= measure(clip, asked)
        save(found, asked.output)
    print(json.dumps(found, indent=1))


def save(found: dict[str, Any], output: Path | None) -> None:
    if output:
        output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def measure(clip: PoseClip, asked: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for processes in dict.fromkeys((asked.stream_processes, 0)):
        with server(f"{{'bundled': None}}, stream_processes={processes}") as (port, process):
            asyncio.run(measure_streams(clip, port, max(1, processes), 8, process))  # caches fill
            streams = asyncio.run(measure_streams(clip, port, asked.streams, asked.seconds, process))
            found["streams" if processes == asked.stream_processes else "streams_beside_clips"] = streams
            if processes == asked.stream_processes:
                found["requests"] = measure_requests(clip, port, asked.callers, asked.requests, process)
    if "streams_beside_clips" in found:
        found["processes_against_none"] = ratios(found["streams"], found["streams_beside_clips"])
    pause = asked.callers / found["requests"]["requests_per_second"]
    with server("{}, nothing=True") as (port, process):
        paced = measure_requests(clip, port, asked.callers, asked.requests, process, pause)
        found["overhead"] = paced | {"saturated": measure_requests(clip, port, asked.callers, asked.requests, process)}
    return found


def ratios(streams: dict[str, Any], beside: dict[str, Any]) -> dict[str, float]:
    """Of streams in processes of their own to streams beside the clips: below 1, processes are better."""
    delays = {f"delay_{at}": streams["delay_ms"][at] / beside["delay_ms"][at] for at in streams["delay_ms"]}
    own, theirs = streams["server_cpu_ms_per_frame"], beside["server_cpu_ms_per_frame"]
    return {name: round(ratio, 2) for name, ratio in {**delays, "server_cpu_ms_per_frame": own / theirs}.items()}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


SERVER = """
from benchmarks.serving import serve_for_measuring
serve_for_measuring(PORT, ARGUMENTS)
"""


def serve_for_measuring(port: int, models: dict[str, Any], stream_processes: int = 0, nothing: bool = False) -> None:
    """With the settings that users get, but for the bounds of a key, which are not what is measured here."""
    from slt_hf.pipeline import SignTranslator, Translation
    from slt_hf.serving.batching import Batcher
    from slt_hf.serving.server import run_service
    from slt_hf.serving.service import Served, SignService
    from slt_hf.serving.settings import ServerSettings

    class Nothing(SignTranslator):
        """Reads no clip."""

        def __call__(self, clips: Any, **_: Any) -> Any:
            return [Translation("", 1.0) for _ in clips]

    bounds = {"streams_per_key": 1000, "requests_per_minute": 100_000_000, "requests_at_once": 1000}
    settings = ServerSettings(port=port, open_to_all=True, stream_processes=stream_processes, **bounds)  # type: ignore[arg-type]
    service = SignService(models, settings, "cpu")
    if nothing:
        model = Nothing.from_pretrained(device="cpu")
        batcher = Batcher(model, settings.batch_size, settings.batch_wait_ms, settings.queue_size)
        service.served, service.default = {"nothing": Served("nothing", model, batcher)}, "nothing"
    run_service(service)


@contextmanager
def server(arguments: str) -> Iterator[tuple[int, int]]:
    """Its port and process."""
    port = free_port()
    code = SERVER.replace("PORT", str(port)).replace("ARGUMENTS", arguments)
    environment = {"OMP_NUM_THREADS": "1", **os.environ}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, cwd=Path(__file__).parents[1])
    try:
        wait_until_ready(port, process)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(60)


def wait_until_ready(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(900):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=1):
                return
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.2)
    raise SystemExit("the server did not come up within three minutes")


async def measure_streams(clip: PoseClip, port: int, streams: int, seconds: float, process: int) -> dict[str, Any]:
    """Delays from sending a frame to the event that had read it, in ms, and frames dropped of those sent."""
    spent, own = processor_seconds(process), time.process_time()
    frames, apart = packed_frames(clip), clip.num_frames / clip.fps / streams
    each = await asyncio.gather(*(one_stream(clip, frames, port, seconds, apart * number) for number in range(streams)))
    delays, count = np.concatenate([delays for delays, _ in each]), streams * int(seconds * FPS)
    return {
        "streams": streams,
        "frames": count,
        "dropped": sum(dropped for _, dropped in each),
        "events": len(delays),
        "delay_ms": percentiles(delays),
        "server_cpu_ms_per_frame": round(1000 * (processor_seconds(process) - spent) / count, 2),
        "client_cpu_ms_per_frame": round(1000 * (time.process_time() - own) / count, 2),
    }


def packed_frames(clip: PoseClip) -> list[bytes]:
    """As they travel, without time and number: packed once, since the client shares the cores."""
    points = clip.points / float(np.nanmax(np.abs(clip.points)))
    return [write_frame(0, 0, *frame)[HEADER.size :] for frame in zip(points, clip.confidence, strict=True)]


async def one_stream(
    clip: PoseClip, frames: list[bytes], port: int, seconds: float, wait: float
) -> tuple[np.ndarray, int]:
    from websockets.asyncio.client import connect

    await asyncio.sleep(wait)
    sent: dict[int, float] = {}
    delays, dropped = [], 0
    async with connect(stream_address(f"http://127.0.0.1:{port}", clip.layout, None)) as socket:
        sender = asyncio.create_task(send(frames, socket, seconds, sent))
        while (event := await next_event(socket, sender)) is not None:
            delays.append(1000 * (time.perf_counter() - sent[event["frame"]]))
            dropped = event["dropped"]
            if sender.done() and event["final"]:
                break
        await sender
    return np.asarray(delays), dropped


async def send(frames: list[bytes], socket: Any, seconds: float, sent: dict[int, float]) -> None:
    began = time.perf_counter()
    for number in range(int(seconds * FPS)):
        await asyncio.sleep(began + number / FPS - time.perf_counter())
        sent[number] = time.perf_counter()
        await socket.send(HEADER.pack(1000 * number / FPS, number) + frames[number % len(frames)])  # over and over
    await socket.send("finish")


def measure_requests(
    clip: PoseClip, port: int, callers: int, requests: int, server: int, pause: float = 0.0
) -> dict[str, Any]:
    """Times of `/translate` and, of these, of its model (ms), refusals, and how the server's memory grew in MB.

    Args:
        pause: seconds from one request of a caller to the next, unless its answer takes longer; 0 for none.
    """
    body, connections = pose_bytes(clip), threading.local()  # made once: the client shares the cores

    def ask(_: int) -> tuple[float, float] | None:
        if not hasattr(connections, "mine"):
            connections.mine = HTTPConnection("127.0.0.1", port, timeout=120)
        began = time.perf_counter()
        connections.mine.request("POST", "/translate", body)
        answer = connections.mine.getresponse()
        told = json.loads(answer.read())
        took = time.perf_counter() - began
        time.sleep(max(0.0, pause * random.uniform(0.5, 1.5) - took))  # callers are not in step
        return (1000 * took, told["milliseconds"]) if answer.status == 200 else None

    with ThreadPoolExecutor(callers) as pool:
        list(pool.map(ask, range(min(50, requests))))  # allocators settle
        before, spent, own = resident_mb(server), processor_seconds(server), time.process_time()
        began = time.monotonic()
        found = list(pool.map(ask, range(requests)))
    seconds, answered = time.monotonic() - began, np.asarray([each for each in found if each is not None])
    return {
        "callers": callers,
        "requests": requests,
        "bytes": len(body),
        "requests_per_second": round(requests / seconds, 1),
        "refused": requests - len(answered),
        "milliseconds": percentiles(answered[:, 0]),
        "model_milliseconds": percentiles(answered[:, 1]),
        "server_cpu_ms": round(1000 * (processor_seconds(server) - spent) / requests, 2),
        "client_cpu_ms": round(1000 * (time.process_time() - own) / requests, 2),
        "memory_growth_mb": round(resident_mb(server) - before, 1),
    }


def soak(port: int, process: int, minutes: float) -> Iterator[dict[str, Any]]:
    """What was found so far, a minute: memory of the server and of its processes (MB), no stream being open then; from
    when every sentence has been read once by all of them."""
    clips = [sign_unseen(seed=seed)[1] for seed in range(2, 12)]  # of many lengths
    for clip in clips:
        asyncio.run(one_minute(clip, port, process, seconds=2 * clip.duration_ms / 1000, requests=20))
    began, spent = time.monotonic(), processor_seconds(process)
    counts: list[dict[str, int]] = []
    memory = [resident_mb(process)]
    while time.monotonic() < began + 60 * minutes or sum(each["requests"] for each in counts) < 20_000 / 60 * minutes:
        counts.append(asyncio.run(one_minute(clips[len(memory) % len(clips)], port, process)))
        memory.append(resident_mb(process))
        seconds = time.monotonic() - began
        print(f"{seconds / 60:.1f} min: {memory[-1]:.1f} MB, {counts[-1]}", flush=True)
        yield {
            "minutes": round(seconds / 60, 1),
            **{name: sum(each[name] for each in counts) for name in counts[0]},
            "server_cores": round((processor_seconds(process) - spent) / seconds, 2),
            "memory_mb": [round(each, 1) for each in memory],
            "memory_growth_mb": round(memory[-1] - memory[0], 1),
            "memory_growth_at_most_mb": round(max(memory) - memory[0], 1),
        }


async def one_minute(
    clip: PoseClip, port: int, process: int, seconds: float = 25, requests: int = 290
) -> dict[str, int]:
    """Of two streams and two callers beside them, who rest between clips."""
    streams, clips = await asyncio.gather(
        measure_streams(clip, port, 2, seconds, process),
        asyncio.to_thread(measure_requests, clip, port, 2, requests, process, pause=0.32),
    )
    return {
        "requests": clips["requests"] + min(50, requests),  # that many came before
        "refused": clips["refused"],
        "frames": streams["frames"],
        "dropped": streams["dropped"],
    }


def processor_seconds(process: int) -> float:
    """Spent by a process and its children so far; Linux only."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return own + sum(processor_seconds(int(child)) for child in children)


def resident_mb(process: int) -> float:
    """Of a process and its children; Linux only."""
    status = Path(f"/proc/{process}/status").read_text().splitlines()
    own = next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return own + sum(resident_mb(int(child)) for child in children)


def percentiles(values: np.ndarray) -> dict[str, float]:
    return {f"p{at}": round(float(np.percentile(values, at)), 1) for at in (50, 95, 99)}


if __name__ == "__main__":
    main()
