"""Load on a server of our own on loopback: live streams at a camera's rate, and clips from many callers.

    python benchmarks/serving.py --streams 30 --seconds 60 --callers 8 --requests 2000 --output results/serving.json

The client runs on the same cores as the server and takes its share of them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from slt_hf.demonstration import sign_unseen
from slt_hf.processing.pose_clip import PoseClip
from slt_hf.serving.client import ServerError, over_rest, stream_address
from slt_hf.serving.frames import write_frame

FPS = 25


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each stream")
    parser.add_argument("--callers", type=int, default=8)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--output", type=Path)
    asked = parser.parse_args()
    clip, port = sign_unseen(seed=2)[1], free_port()
    server = started_server(port)
    try:
        found: dict[str, Any] = {"command": "python " + " ".join(sys.argv)}
        found["streams"] = asyncio.run(measure_streams(clip, port, asked.streams, asked.seconds))
        found["requests"] = measure_requests(clip, port, asked.callers, asked.requests, server.pid)
    finally:
        server.terminate()
        server.wait(60)
    print(json.dumps(found, indent=1))
    if asked.output:
        asked.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def started_server(port: int) -> subprocess.Popen[bytes]:
    """With the settings that users get, but for the rate of a key, which is not what is measured here."""
    code = (
        "from slt_hf.serving.server import run; from slt_hf.serving.settings import ServerSettings; "
        f"run({{'bundled': None}}, ServerSettings(port={port}, open_to_all=True, streams_per_key=1000, "
        "requests_per_minute=1_000_000), 'cpu')"
    )
    server = subprocess.Popen([sys.executable, "-c", code], env={"OMP_NUM_THREADS": "1", **os.environ})
    for _ in range(600):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=1):
                return server
        except OSError:
            time.sleep(0.2)
    server.kill()
    raise SystemExit("the server did not come up within two minutes")


async def measure_streams(clip: PoseClip, port: int, streams: int, seconds: float) -> dict[str, Any]:
    """Delays from sending a frame to the event that had read it, in ms, and frames dropped of those sent."""
    each = await asyncio.gather(*(one_stream(clip, port, seconds, number / streams) for number in range(streams)))
    delays = np.concatenate([delays for delays, _ in each])
    return {
        "streams": streams,
        "frames": streams * int(seconds * FPS),
        "dropped": sum(dropped for _, dropped in each),
        "events": len(delays),
        "delay_ms": percentiles(delays),
    }


async def one_stream(clip: PoseClip, port: int, seconds: float, wait: float) -> tuple[np.ndarray, int]:
    from websockets.asyncio.client import connect

    await asyncio.sleep(wait)  # cameras are not in step
    sent: dict[int, float] = {}
    delays, dropped = [], 0
    async with connect(stream_address(f"http://127.0.0.1:{port}", clip.layout, None)) as socket:
        sender = asyncio.create_task(send(clip, socket, seconds, sent))
        async for message in socket:
            event = json.loads(message)
            delays.append(1000 * (time.perf_counter() - sent[event["frame"]]))
            dropped = event["dropped"]
            if sender.done() and event["final"]:
                break
        await sender
    return np.asarray(delays), dropped


async def send(clip: PoseClip, socket: Any, seconds: float, sent: dict[int, float]) -> None:
    points, began = clip.points / float(np.nanmax(np.abs(clip.points))), time.perf_counter()
    for number in range(int(seconds * FPS)):
        await asyncio.sleep(began + number / FPS - time.perf_counter())
        at = number % len(points)  # the sentence over and over
        sent[number] = time.perf_counter()
        await socket.send(write_frame(1000 * number / FPS, number, points[at], clip.confidence[at]))
    await socket.send("finish")


def measure_requests(clip: PoseClip, port: int, callers: int, requests: int, server: int) -> dict[str, Any]:
    """Times of `/translate` and, of these, of its model (ms), refusals, and how the server's memory grew in MB."""
    url = f"http://127.0.0.1:{port}"

    def ask(_: int) -> tuple[float, float] | None:
        began = time.perf_counter()
        try:
            model_ms = over_rest(clip, url, None)["milliseconds"]
        except ServerError:
            return None
        return 1000 * (time.perf_counter() - began), model_ms

    with ThreadPoolExecutor(callers) as pool:
        list(pool.map(ask, range(min(50, requests))))  # allocators settle
        before = resident_mb(server)
        found = list(pool.map(ask, range(requests)))
    answered = np.asarray([each for each in found if each is not None])
    return {
        "callers": callers,
        "requests": requests,
        "refused": requests - len(answered),
        "milliseconds": percentiles(answered[:, 0]),
        "model_milliseconds": percentiles(answered[:, 1]),
        "memory_growth_mb": round(resident_mb(server) - before, 1),
    }


def resident_mb(process: int) -> float:
    """Linux only."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def percentiles(values: np.ndarray) -> dict[str, float]:
    return {f"p{at}": round(float(np.percentile(values, at)), 1) for at in (50, 95, 99)}


if __name__ == "__main__":
    main()
