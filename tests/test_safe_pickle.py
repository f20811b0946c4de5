"""The allow-list reader: data gets through unchanged, anything else is refused and never run."""

from __future__ import annotations

import gzip
import pickle
import random
import time

import numpy as np
import pytest
import torch

from slt_hf.errors import PoseFileError, SignDataError
from slt_hf.poses.safe_pickle import load_pickle

ran: list[str] = []


class Hostile:
    """Pickles as a call, like an attack would."""

    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


def canary(text: str) -> None:
    ran.append(text)


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_numbers_text_and_containers_come_back_equal(protocol):
    data = {
        "keypoints": np.arange(12, dtype=np.float32).reshape(2, 3, 2),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big_endian": np.arange(3, dtype=">i4"),
        "text": np.array(["a", "bcd"]),
        "ragged": np.array([1, "x", np.zeros(2)], dtype=object),
        "empty": np.zeros((0, 3)),
        "scalar": np.float32(3),
        "plain": [1, 2.5, None, True, "é", b"", (1, {2}), 10**30, 3 + 4j],
    }
    loaded = load_pickle(pickle.dumps(data, protocol))
    assert loaded.keys() == data.keys() and loaded["plain"] == data["plain"]
    for name in data.keys() - {"plain", "ragged"}:
        np.testing.assert_array_equal(loaded[name], data[name])
        assert loaded[name].dtype == data[name].dtype and type(loaded[name]) is type(data[name])
    assert list(loaded["ragged"][:2]) == [1, "x"] and loaded["ragged"][2].shape == (2,)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(12.0).reshape(3, 4).t(),
        torch.arange(5)[2:],
        torch.zeros(0, 3),
        torch.tensor(3.0),
        torch.tensor([True]),
    ],
)
def test_tensors_become_arrays_without_torch(tensor):
    np.testing.assert_array_equal(load_pickle(pickle.dumps({"t": tensor}))["t"], tensor.numpy())


@pytest.mark.parametrize(
    "hostile",
    [
        Hostile(canary, "called"),
        Hostile(eval, "1"),
        Hostile(getattr, "x", "upper"),
        Hostile(np.load, "/nope"),
        Hostile(np.frombuffer, b"1234"),
        Hostile(torch.load, "/nope"),
        Hostile(bytes, 10**12),  # would allocate
        Hostile(bytearray, 10**12),
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_call_is_refused_and_not_made(hostile, protocol):
    with pytest.raises(PoseFileError, match="expected only arrays, numbers and text"):
        load_pickle(pickle.dumps({"keypoints": [hostile]}, protocol))
    assert not ran


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x04\x8c\x05numpy\x8c\x05dtype\x93}\x8c\x05_call\x8c\x01xsb.",  # state for an allowed function
        b"\x80\x02\x82\x01.",  # extension registry
        b"\x80\x04\x8c\x01xQ.",  # persistent id
        b"\x80\x04N\x8c\x01a\x93.",  # a name that is no text
        b"(" * 100_000 + b".",
        b"\x80\x04\x8e" + (1 << 40).to_bytes(8, "little") + b"x.",  # a terabyte of bytes
        b"",
    ],
)
def test_crafted_pickles_end_in_our_error_at_once(content):
    began = time.monotonic()
    with pytest.raises(PoseFileError):
        load_pickle(content)
    assert time.monotonic() - began < 2


def test_a_high_memo_index_costs_nothing():
    assert load_pickle(b"]" + b"r\xff\xff\xff\x7f" + b".") == []  # the C unpickler would allocate 16 GB here


def test_shared_lists_are_walked_once():
    laughs = "lol"
    for _ in range(60):
        laughs = [laughs] * 10  # 10^60 leaves if followed one by one
    assert load_pickle(pickle.dumps(laughs))[9][0] is not None


def test_deep_nesting_is_an_error_not_a_crash():
    with pytest.raises(PoseFileError):
        load_pickle(b"]" * 200_000 + b"a" * 199_999 + b".")


def test_an_array_may_not_be_larger_than_its_bytes():
    content = pickle.dumps(np.arange(4, dtype=np.int8), protocol=2)
    grown = content.replace(b"K\x04\x85", b"M\xff\xff\x85", 1)
    assert grown != content
    with pytest.raises(PoseFileError, match="bytes for an array of shape"):
        load_pickle(grown)


def test_a_gzip_bomb_stops_at_the_limit():
    with pytest.raises(PoseFileError, match="expected at most 1000 bytes"):
        load_pickle(gzip.compress(pickle.dumps(b"0" * 100_000)), max_bytes=1000)


def test_damage_never_escapes_as_another_error():
    good = pickle.dumps({"keypoints": [np.zeros((3, 2), np.float32)] * 2, "scores": [1.0, 2.0], "t": torch.zeros(2)})
    rng = random.Random(0)
    for _ in range(1500):
        bad = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            bad[rng.randrange(len(bad))] = rng.randrange(256)
        try:
            load_pickle(bytes(bad[: rng.randint(1, len(bad))]))
        except SignDataError:
            pass


@pytest.mark.parametrize("name", ["ok_keypoints", "minus_one_invalid"])
def test_real_pickles_load(shared_data, name):
    assert load_pickle(shared_data / "malformed" / "pickle" / f"{name}.pkl")["keypoints"].shape == (8, 75, 2)


def test_the_real_hostile_pickle_names_the_function_and_does_not_call_it(shared_data):
    with pytest.raises(PoseFileError, match="calls_a_function.pkl: .*os.getcwd, which is not run"):
        load_pickle(shared_data / "malformed" / "pickle" / "calls_a_function.pkl")


def test_the_gzip_pickle_of_neccam_slt_loads_without_torch(shared_data):
    sentences = load_pickle(shared_data / "annotations" / "phoenix14t" / "phoenix14t.dev")
    assert len(sentences) == 519
    assert isinstance(sentences[0]["sign"], np.ndarray) and sentences[0]["num_frames"] == 42
