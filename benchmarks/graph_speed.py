"""What traced graphs save a live stream, piece by piece: the same numbers from PyTorch's calls and from the graph.

    python benchmarks/graph_speed.py --output results/graph_speed.json

One thread, processor time, the two ways in turn: `ms` and `graph_ms` are the medians of all runs, `ratio` the median
of the runs' own ratios, so that a busy machine slows both. `differs` is the largest difference between their numbers
(for sentences: of their confidences, and whether the texts differ).
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch are loaded

import argparse
import json
import platform
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from slt_hf import SignTranslator
from slt_hf.demonstration import sign_unseen
from slt_hf.streaming.live_decoder import LiveDecoder

Piece = tuple[str, Callable[[], Any], Callable[[], Any], Callable[[Any, Any], float]]
TOKENS = 12  # of a live guess, and so many are searched for


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--model", help="checkpoint that streams; the bundled one unless named")
    parser.add_argument("--output", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    results = {}
    for name, plain, graph, differ in pieces(asked.model):
        results[name] = compared(plain, graph, asked.runs) | {"differs": differ(plain(), graph())}
        print(name, json.dumps(results[name]), flush=True)
    if asked.output:
        facts = {
            "command": "python benchmarks/graph_speed.py " + " ".join(sys.argv[1:]),
            "machine": f"{platform.machine()}, one thread, Python {platform.python_version()}; processor time",
            "results": results,
        }
        asked.output.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def pieces(source: str | None) -> Iterator[Piece]:
    plain, quick = (SignTranslator.from_pretrained(source, device="cpu") for _ in range(2))
    engine: Any = quick.engine
    engine.quicken()
    yield chunk_piece(engine)
    memory = yield from memory_pieces(engine)
    yield pass_piece(engine, memory)
    for seconds in (4, 8):
        yield clip_piece(engine, seconds)
    yield search_piece(plain.engine, engine, memory)
    clip = sign_unseen(seed=2)[1]
    yield "a sentence, from poses to text", lambda: plain(clip), lambda: quick(clip), text_difference


def chunk_piece(engine: Any) -> Piece:
    encoder, state = engine.model.encoder, engine.model.encoder.initial_state()
    own = engine.chunk.initial_state()
    config = encoder.config
    values = torch.rand(1, config.chunk_frames, config.num_landmarks, config.num_coordinates)
    mask = torch.ones(values.shape[:2], dtype=torch.bool)
    plain = torch.inference_mode()(lambda: encoder.stream_chunk(values, state, mask)[0].last_hidden_state)
    return f"a chunk of {config.chunk_frames} frames", plain, lambda: engine.chunk(values, own)[0], difference


def memory_pieces(engine: Any) -> Any:
    """Of an utterance of eight seconds, as a guess in the middle of it reads it; returns what the decoder attends to"""
    inputs = clip_inputs(engine, 8)
    states = engine.model.encoder(**inputs).last_hidden_state.detach()

    @torch.inference_mode()
    def plain() -> torch.Tensor:
        return engine.model.encode(sign_states=states, sign_mask=torch.ones(states.shape[:2], dtype=torch.long))[0]

    yield "encoder of the text model", plain, lambda: engine.graph.memory(states)[0], difference
    return engine.graph.memory(states)


def pass_piece(engine: Any, memory: Any) -> Piece:
    decoders = [LiveDecoder(engine.model), LiveDecoder(engine.model, engine.graph)]
    for decoder in decoders:
        decoder.begin(memory)
    fed = [decoders[0].start, *range(3, 2 + TOKENS)]
    plain, graph = (lambda each=each: torch.from_numpy(each._log_probs(fed)) for each in decoders)
    return f"a pass over {TOKENS} tokens of a guess", plain, graph, difference


def clip_piece(engine: Any, seconds: int) -> Piece:
    inputs = clip_inputs(engine, seconds)
    plain = torch.inference_mode()(lambda: engine.model.encoder(**inputs).last_hidden_state)
    return (
        f"a clip of {seconds} s through the encoder",
        plain,
        lambda: engine.graph.clip(*inputs.values())[0],
        difference,
    )


def search_piece(plain: Any, quick: Any, memory: Any) -> Piece:
    length = {"min_new_tokens": TOKENS, "max_new_tokens": TOKENS, "num_beams": 2}

    def search(engine: Any) -> Any:
        return engine.generate_from(type(memory)(**memory), **length)[0]  # `generate` changes what it is given

    def differ(one: Any, other: Any) -> float:
        return abs(one.confidence - other.confidence) if one.tokens == other.tokens else float("inf")

    return f"{TOKENS} tokens by two beams", lambda: search(plain), lambda: search(quick), differ


def clip_inputs(engine: Any, seconds: int) -> dict[str, torch.Tensor]:
    config = engine.model.encoder.config
    torch.manual_seed(0)
    values = torch.rand(1, int(seconds * config.fps), config.num_landmarks, config.num_coordinates)
    return {"pose_values": values, "attention_mask": torch.ones(values.shape[:2], dtype=torch.long)}


def difference(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max())


def text_difference(one: Any, other: Any) -> float:
    return abs(one.confidence - other.confidence) if one.text == other.text else float("inf")


def compared(plain: Callable[[], Any], graph: Callable[[], Any], runs: int) -> dict[str, float]:
    for _ in range(3):
        plain(), graph()
    took = np.array([[milliseconds(plain), milliseconds(graph)] for _ in range(runs)])
    ms, graph_ms = np.median(took, axis=0)
    ratio = float(np.median(took[:, 1] / took[:, 0]))
    return {"ms": round(float(ms), 2), "graph_ms": round(float(graph_ms), 2), "ratio": round(ratio, 2)}


def milliseconds(work: Callable[[], Any]) -> float:
    started = time.thread_time()
    work()
    return 1000 * (time.thread_time() - started)


if __name__ == "__main__":
    main()
