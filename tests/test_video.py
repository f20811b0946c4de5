"""Video reading: by time, upright, within a budget, typed errors for anything else."""

from __future__ import annotations

import random
import time
import tracemalloc
import zlib
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from slt_hf.errors import ClipError, VideoError
from slt_hf.poses.video import VideoBudget, iterate_frames, probe_video, read_video, sample_evenly
from slt_hf.processing.video_reading import pace_times


def make_video(path: Path, frames: int = 50, fps: int = 25, gop: int = 12, picture: np.ndarray | None = None) -> Path:
    """64 x 48; frame k is `picture`, else a flat grey of 4k, so that it tells its number."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 64, 48, "yuv420p", gop
        for k in range(frames):
            image = np.full((48, 64, 3), 4 * k % 256, np.uint8) if picture is None else picture
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def number(image: np.ndarray) -> int:
    return round(float(image.mean()) / 4)


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return make_video(tmp_path_factory.mktemp("video") / "clip.mp4")


def test_frames_come_in_order_with_their_times(clip):
    frames = list(iterate_frames(clip))
    assert [number(frame.image) for frame in frames] == list(range(50))
    np.testing.assert_allclose([frame.time_ms for frame in frames], np.arange(50) * 40, atol=1e-3)


def test_a_part_is_cut_by_time(clip):
    assert [number(f.image) for f in iterate_frames(clip, start_ms=400, end_ms=600)] == [10, 11, 12, 13, 14]


def test_seeking_gives_the_same_frames_as_decoding_from_the_start(tmp_path):
    path = make_video(tmp_path / "long.mp4", frames=60, fps=2, gop=50)
    whole = [f for f in iterate_frames(path) if f.time_ms >= 20_000]
    part = list(iterate_frames(path, start_ms=20_000))
    assert [f.time_ms for f in part] == [f.time_ms for f in whole]
    assert all((a.image == b.image).all() for a, b in zip(part, whole, strict=True))


def test_thinning_keeps_an_even_pace(clip):
    assert [number(f.image) for f in iterate_frames(clip, fps=5)] == list(range(0, 50, 5))
    assert len(list(iterate_frames(clip, fps=25))) == 50
    assert len(list(iterate_frames(clip, fps=60))) == 50


def test_even_sampling_takes_the_middle_of_each_section(clip):
    video = read_video(clip, num_frames=5)
    assert [number(image) for image in video.frames] == [5, 15, 25, 35, 45]
    assert video.frames.shape == (5, 48, 64, 3)
    assert sample_evenly(2, 4).tolist() == [0, 0, 1, 1]


def test_bytes_and_files_read_like_paths(clip):
    expected = read_video(clip).frames
    assert (read_video(clip.read_bytes()).frames == expected).all()
    assert (read_video(BytesIO(clip.read_bytes()), num_frames=50).frames == expected).all()


@pytest.mark.parametrize(
    ("codec", "ending"),
    [("libvpx", "webm"), ("libvpx-vp9", "webm"), ("libx265", "mov"), ("libx264", "mkv"), ("mpeg4", "avi"),
     ("flv", "swf")],
)  # fmt: skip
def test_frames_wanted_by_time_are_the_ones_shown_then_whatever_the_file(tmp_path, codec: str, ending: str):
    """Frame k is seen from 40 k ms on: those in the middle of each fifth of a second, of twenty."""
    path = tmp_path / f"clip.{ending}"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 64, 48, "yuv420p", 6
        for k in range(20):
            image = np.full((48, 64, 3), 12 * k, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    video = read_video(path, num_frames=5)
    assert [round(float(image.mean()) / 12) for image in video.frames] == [2, 6, 10, 14, 18]
    assert np.diff(video.times_ms) == pytest.approx(160, abs=1.1)  # webm counts in whole milliseconds


def test_a_variable_frame_rate_is_sampled_by_time_not_by_number(tmp_path):
    """Ten frames within the first 400 ms, then one that is seen for 600: half of all samples show it."""
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.time_base = 64, 48, "yuv420p", Fraction(1, 1000)
        for k, time_ms in enumerate([*range(0, 400, 40), 400, 1000]):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 * k, np.uint8), format="rgb24")
            frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    shown = [round(float(image.mean()) / 20) for image in read_video(tmp_path / "a.mp4", num_frames=10).frames]
    assert shown[:4] == [1, 3, 6, 9] and shown[4:9] == [10] * 5 and shown[9] == 10


def test_video_recorded_sideways_comes_upright(tmp_path):
    """A phone's rotation tag, the matrix of the track header: (x, y) is shown at (height - y, x), so left is up."""
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:, :32] = 200
    data = bytearray(make_video(tmp_path / "phone.mp4", picture=picture, frames=3).read_bytes())
    place = data.index(b"tkhd") + 4 + 40
    turned = [0, 1 << 16, 0, -1 << 16, 0, 0, 48 << 16, 0, 1 << 30]
    data[place : place + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in turned)
    frames = read_video(bytes(data)).frames
    assert frames.shape == (3, 64, 48, 3)
    assert frames[0, :30].mean() > 180 and frames[0, 34:].mean() < 20


def test_part_beyond_the_end_says_that_the_video_is_shorter(clip):
    with pytest.raises(ClipError, match="2000 ms.*found none; the video is shorter"):
        list(iterate_frames(clip, start_ms=2000, end_ms=3000))
    with pytest.raises(ClipError, match="0 <= start < end"):
        list(iterate_frames(clip, start_ms=500, end_ms=400))


@pytest.mark.parametrize(
    ("budget", "reason"),
    [
        (VideoBudget(max_pixels=1000), "64x48 pixels"),
        (VideoBudget(max_frames=5), "more than 5 frames"),
        (VideoBudget(max_seconds=0), "longer than 0 s"),
    ],
)
def test_video_over_budget_is_refused(clip, budget, reason):
    with pytest.raises(VideoError, match=reason):
        read_video(clip, budget=budget)
    with pytest.raises(VideoError, match=reason):
        read_video(clip, num_frames=3, budget=budget)


def test_address_or_playlist_opens_nothing_else(tmp_path, clip):
    with pytest.raises(VideoError, match="found an address; fetch"):
        probe_video("http://127.0.0.1:9/clip.mp4")
    playlist = f"#EXTM3U\n#EXTINF:2,\n{clip}\n#EXT-X-ENDLIST\n".encode()
    with pytest.raises(VideoError):
        read_video(playlist)


def test_file_without_pictures_is_refused(tmp_path):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(VideoError, match="no video stream"):
        read_video(path)


def test_empty_file_and_clip_of_one_frame(tmp_path):
    (tmp_path / "empty.mp4").write_bytes(b"")
    for source in (tmp_path / "empty.mp4", b""):
        with pytest.raises(VideoError, match="found: an empty file"):
            read_video(source, num_frames=4)
    video = read_video(make_video(tmp_path / "one.mp4", frames=1), num_frames=4)
    assert video.frames.shape == (4, 48, 64, 3) and video.times_ms.tolist() == [0, 0, 0, 0]


def test_hour_is_read_thinly_and_refused_by_its_frames():
    """What is kept are eight frames, whatever the file holds; frames that are decoded are counted."""
    from test_guarded_video import encode

    hour = encode("mpeg4", "mp4", (64, 48), 3_600, fps=1)
    kept: list[np.ndarray] = []

    def small(image: np.ndarray) -> np.ndarray:
        kept.append(image[:1, :1])
        return kept[-1]

    video = read_video(hour, num_frames=8, fit=small)
    np.testing.assert_allclose(video.times_ms, (np.arange(8) * 450 + 225) * 1000, atol=1000)
    assert len(kept) == 8
    with pytest.raises(VideoError, match="more than 2000 frames"):
        read_video(hour, fps=1, budget=VideoBudget(max_frames=2_000))


def test_frames_are_paced_as_on_a_grid_of_times():
    rng = np.random.default_rng(0)
    for _ in range(300):
        times = np.cumsum(rng.choice([1.0, 16.683, 33.367, 40.0, 500.0], rng.integers(1, 60))) * rng.choice([1, 0.97])
        fps, offset = rng.choice([1, 5, 12.5, 25, 29.97, 60]), rng.choice([0.0, rng.random()])
        grid = np.arange(times[0] + offset * 1000 / fps, times[-1] + 1e-3, 1000 / fps)
        shown = np.searchsorted(times, (grid if len(grid) else times[:1]) + 1e-3, side="right") - 1
        np.testing.assert_array_equal(pace_times(times, fps, None, None, offset), np.unique(shown))


def test_a_wrong_time_in_a_file_costs_no_memory():
    times = np.array([0.0, 40.0, 1e12])  # thirty years
    tracemalloc.start()
    try:
        assert pace_times(times, 25, None, None).tolist() == [0, 1, 2]
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_mutated_files_give_frames_or_a_typed_error_and_never_hang(clip):
    good = clip.read_bytes()
    rng = random.Random(7)
    for _ in range(100):
        data = bytearray(good)
        for _ in range(rng.choice([1, 5, 50])):
            data[rng.randrange(len(data))] = rng.randrange(256)
        begin = time.monotonic()
        try:
            assert read_video(bytes(data[: rng.choice([len(data), rng.randrange(len(data))])])).frames.ndim == 4
        except (VideoError, ClipError):
            pass
        assert time.monotonic() - begin < 5


def test_malformed_collection_is_refused_or_read_in_part(shared_data):
    refused = []
    for path in sorted((shared_data / "malformed/video").iterdir()):
        try:
            assert len(read_video(path).frames) > 0
        except VideoError as error:
            assert str(path) in str(error)
            refused.append(path.stem)
    assert set(refused) >= {"cut_half", "empty", "head_only", "no_index", "text_as_mp4"}


def test_real_clip_has_the_frames_its_manifest_says(shared_data):
    folder = shared_data / "continuous/how2sign_clips"
    name, frames = "_15CDIexNDM_0-5-rgb_front", 15
    video = read_video(folder / "videos" / f"{name}.mp4")
    assert video.frames.shape == (frames, 252, 448, 3)
    assert video.info.fps == 24


@pytest.mark.parametrize("count", [2, 7, 30])
def test_jumping_over_groups_of_pictures_gives_the_frames_of_reading_through(tmp_path, count):
    path = make_video(tmp_path / "clip.mp4", frames=60, gop=6)
    whole = list(iterate_frames(path))
    places = ((np.arange(count) + 0.5) * 60 / count).astype(int)
    video = read_video(path, num_frames=count)
    assert (video.frames == np.stack([whole[place].image for place in places])).all()


def make_flash(path: Path) -> Path:
    """`make_video` as WLASL's oldest sources have it: Sorenson H.263 in a Flash file, whose header tells no length."""
    with av.open(str(path), "w", format="swf") as container:
        stream: Any = container.add_stream("flv", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 64, 48, "yuv420p", 12
        stream.codec_context.qmin, stream.codec_context.qmax = 2, 3
        for k in range(50):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 4 * k % 256, np.uint8), format="rgb24")
            picture.pts = k
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("compressed", [False, True])
def test_flash_files_are_read_frame_by_frame(tmp_path, compressed):
    path = make_flash(tmp_path / "word.swf")
    if compressed:  # from Flash 6 on: all behind the first eight bytes
        data = path.read_bytes()
        path.write_bytes(b"CWS\x06" + data[4:8] + zlib.compress(data[8:]))
    assert [number(image) for image in read_video(path).frames] == list(range(50))
    video = read_video(path, num_frames=5)
    assert [number(image) for image in video.frames] == [5, 15, 25, 35, 45]
    np.testing.assert_allclose(video.times_ms, [200, 600, 1000, 1400, 1800])
    part = read_video(path.read_bytes(), start_ms=400, end_ms=600)
    assert [number(image) for image in part.frames] == [10, 11, 12, 13, 14]
    with pytest.raises(VideoError):
        read_video(path.read_bytes()[:20])
