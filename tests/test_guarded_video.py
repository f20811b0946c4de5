"""Videos from strangers: the frames that trusted reading gives, or a typed error, in bounded time and memory."""

from __future__ import annotations

import http.server
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from test_video import make_video

from slt_hf.errors import ClipError, PreparationError, VideoError
from slt_hf.guarded_poses import GuardedExtractor
from slt_hf.guarded_video import GuardedClip, GuardedDecoder, VideoLimits, read_untrusted
from slt_hf.poses.video import read_video
from slt_hf.processing.feature_extraction_video import VideoFeatureExtractor

LIMITS = VideoLimits(max_seconds=20, max_frames=2_000, max_output_bytes=8 << 20)


@pytest.fixture(scope="module")
def decoder() -> Iterator[GuardedDecoder]:
    with GuardedDecoder(LIMITS, workers=1) as decoder:
        yield decoder


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return make_video(tmp_path_factory.mktemp("guarded") / "clip.mp4")


def encode(codec: str, suffix: str, size: tuple[int, int], frames: int, fps: int = 25, **options: str) -> bytes:
    """Frames of one grey."""
    file = BytesIO()
    with av.open(file, "w", format=suffix) as container:
        stream: Any = container.add_stream(codec, rate=fps, options=options)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        picture = av.VideoFrame.from_ndarray(np.full((size[1] * 3 // 2, size[0]), 128, np.uint8), format="yuv420p")
        for number in range(frames):
            picture.pts = number
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return file.getvalue()


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """A small file whose frames are as large as MPEG-4 can say."""
    data = encode("mpeg4", "mp4", (8176, 4608), 1)
    assert len(data) < 500_000
    return data


def memory_of(decoder: GuardedDecoder) -> int:
    """Most memory in bytes that the one worker ever held."""
    worker = decoder._free.queue[0]
    status = Path(f"/proc/{worker.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) << 10


@pytest.mark.parametrize("how", [{}, {"num_frames": 5}, {"fps": 10, "start_ms": 400, "end_ms": 900}])
def test_frames_are_those_of_trusted_reading(decoder, clip, how):
    expected = read_video(clip, **how)
    for source in (clip, clip.read_bytes()):
        video = decoder.read(source, **how)
        assert (video.frames == expected.frames).all() and video.frames.dtype == np.uint8
        np.testing.assert_allclose(video.times_ms, expected.times_ms)
    assert video.info == expected.info


def test_sizes_whose_rows_lie_apart_in_memory_are_read(decoder):
    for size in ((222, 62), (34, 46), (2, 2)):
        body = encode("mpeg4", "mp4", size, 3)
        assert (decoder.read(body).frames == read_video(body).frames).all()


def test_process_that_cannot_start_says_what_it_needs(monkeypatch):
    monkeypatch.setattr("sys.executable", "/bin/false")
    with GuardedDecoder(LIMITS, workers=1) as decoder:
        with pytest.raises(PreparationError, match="ended with code 1 before its first video; it needs Linux, PyAV"):
            decoder.read(b"video")


def test_model_input_is_that_of_the_trusted_file(decoder, clip):
    extractor = VideoFeatureExtractor(num_frames=4, image_size=32)
    trusted = extractor(str(clip), start_ms=200)["pixel_values"]
    guarded = extractor(GuardedClip(clip.read_bytes(), decoder=decoder), start_ms=200)["pixel_values"]
    assert (guarded == trusted).all()


def test_process_keeps_its_worker_between_videos(decoder, clip):
    before = decoder._free.queue[0].process.pid
    with pytest.raises(VideoError):
        decoder.read(b"no video", name="upload.mp4")
    decoder.read(clip, num_frames=1)
    assert decoder._free.queue[0].process.pid == before


def test_worker_sees_no_secrets(decoder, clip, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "secret")
    with GuardedDecoder(LIMITS, workers=1) as own:
        own.read(clip, num_frames=1)
        assert b"HF_TOKEN" not in Path(f"/proc/{own._free.queue[0].process.pid}/environ").read_bytes()


def test_worker_killed_from_outside_is_replaced(decoder, clip):
    decoder._free.queue[0].process.kill()
    decoder._free.queue[0].process.wait()
    assert len(decoder.read(clip, num_frames=2).frames) == 2


def test_many_threads_share_the_workers(decoder, clip):
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda count: len(decoder.read(clip, num_frames=count).frames), range(1, 9)))
    assert found == list(range(1, 9))


def test_address_is_refused_and_nothing_is_fetched(decoder, tmp_path):
    asked: list[str] = []

    class Listener(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        log_message = lambda *_: None  # noqa: E731

    with http.server.HTTPServer(("127.0.0.1", 0), Listener) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/clip.mp4"
        with pytest.raises(VideoError, match="found an address; fetch"):
            decoder.read(url)
        playlists = [
            f"#EXTM3U\n#EXTINF:2,\n{url}\n#EXT-X-ENDLIST\n",
            f"ffconcat version 1.0\nfile '{url}'\n",
            f"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\na=control:{url}\n",
            f'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period><BaseURL>{url}</BaseURL></Period>'
            "</MPD>",
        ]
        for number, playlist in enumerate(playlists):
            (tmp_path / f"{number}.mp4").write_text(playlist)
            for source in (playlist.encode(), tmp_path / f"{number}.mp4"):
                with pytest.raises(VideoError):
                    decoder.read(source)
        server.shutdown()
    assert asked == []


def test_playlist_opens_no_other_file(decoder, clip, tmp_path):
    for name, text in (("list.m3u8", f"#EXTM3U\n#EXTINF:2,\n{clip}\n#EXT-X-ENDLIST\n"),
                       ("list.ffconcat", f"ffconcat version 1.0\nfile '{clip}'\n")):  # fmt: skip
        (tmp_path / name).write_text(text)
        with pytest.raises(VideoError):
            decoder.read(tmp_path / name)


@pytest.mark.parametrize("source", [b"", "absent.mp4", 7])
def test_nothing_is_refused_in_words(decoder, source):
    with pytest.raises(VideoError, match="upload: expected"):
        decoder.read(source, name="upload")


def test_folder_of_pictures_is_no_upload(decoder, tmp_path):
    with pytest.raises(VideoError, match="found nothing there"):
        decoder.read(tmp_path / "*.png")


def test_sound_alone_is_refused(decoder):
    file = BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream: Any = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(VideoError, match="no video stream"):
        decoder.read(file.getvalue())


def test_clip_of_one_frame_and_a_picture_are_one_frame(decoder, tmp_path):
    from PIL import Image

    one = make_video(tmp_path / "one.mp4", frames=1)
    assert decoder.read(one).frames.shape == (1, 48, 64, 3)
    assert decoder.read(one, num_frames=4).frames.shape == (4, 48, 64, 3)
    Image.fromarray(np.full((48, 64, 3), 90, np.uint8)).save(tmp_path / "still.png")
    for source in (tmp_path / "still.png", (tmp_path / "still.png").read_bytes()):
        video = decoder.read(source)
        assert video.frames.shape == (1, 48, 64, 3) and (video.frames == 90).all() and video.times_ms.tolist() == [0]


def test_small_file_with_8k_frames_is_refused_before_it_is_decoded(decoder, bomb):
    with pytest.raises(VideoError, match="upload.mp4.*8176x4608 pixels"):
        decoder.read(bomb, name="upload.mp4")
    assert memory_of(decoder) < 300 << 20


def test_memory_is_limited_even_where_the_pixels_are_allowed(clip, bomb):
    with GuardedDecoder(VideoLimits(max_pixels=1 << 26, memory_bytes=450 << 20), workers=1) as small:
        with pytest.raises(VideoError):
            small.read(bomb)
        assert len(small.read(clip, num_frames=2).frames) == 2


def test_endless_decoding_is_ended(clip):
    bomb = encode("mpeg4", "mp4", (640, 480), 1_500, fps=60)
    with GuardedDecoder(VideoLimits(max_seconds=0.3), workers=1) as hasty:
        hasty.probe(clip)  # the start of the process is nobody's decoding time
        begin = time.monotonic()
        with pytest.raises(VideoError, match="0.3 s"):
            hasty.read(bomb, fit=lambda image: image[:1, :1])
        assert time.monotonic() - begin < 2
        assert len(hasty.read(clip, num_frames=2).frames) == 2


def test_frames_decoded_and_kept_are_counted(decoder, clip):
    many = encode("mpeg4", "mp4", (64, 48), 2_100, fps=60)
    with pytest.raises(VideoError, match="more than 2000 frames"):
        decoder.read(many, fit=lambda image: image[:1, :1])
    with pytest.raises(VideoError, match="upload: more than 8 MB of frames"):
        decoder.read(many, name="upload")
    with GuardedDecoder(VideoLimits(max_file_bytes=1000), workers=1) as tight:
        with pytest.raises(VideoError, match="at most 1000 bytes"):
            tight.read(clip)


def test_hour_is_refused_by_its_frames_and_read_thinly_where_it_may_be(clip):
    hour = encode("mpeg4", "mp4", (64, 48), 3_600, fps=1)
    with GuardedDecoder(VideoLimits(max_seconds=20), workers=1) as decoder:
        with pytest.raises(VideoError, match="3599.0 s, longer than 120 s"):
            decoder.read(hour, num_frames=8)
    with GuardedDecoder(VideoLimits(max_seconds=20, max_clip_seconds=4_000), workers=1) as patient:
        assert patient.probe(hour).num_frames == 3_600
        video = patient.read(hour, num_frames=8)
        np.testing.assert_allclose(video.times_ms, (np.arange(8) * 450 + 225) * 1000, atol=1000)
        assert memory_of(patient) < 150 << 20


def test_header_that_lies_about_the_length_changes_nothing(decoder, clip):
    """The header says a hundred hours, or nothing; frames are counted by themselves."""
    data = bytearray(clip.read_bytes())
    for box, offset in ((b"mvhd", 20), (b"tkhd", 24), (b"mdhd", 20)):
        place = data.index(box) + offset
        data[place : place + 4] = (360_000_000).to_bytes(4, "big")
    assert len(decoder.read(bytes(data)).frames) == 50
    assert decoder.probe(bytes(data)).duration_ms == pytest.approx(1960)


def test_part_beyond_the_end_is_a_clip_error(decoder, clip):
    with pytest.raises(ClipError, match="upload: expected frames from 2000 ms"):
        decoder.read(clip.read_bytes(), num_frames=2, start_ms=2000, name="upload")
    with pytest.raises(ClipError, match="0 <= start < end"):
        decoder.read(clip, start_ms=500, end_ms=400)


def test_malformed_collection_is_refused_or_read_in_part(decoder, shared_data):
    refused = []
    for path in sorted((shared_data / "malformed/video").iterdir()):
        for source in (path, path.read_bytes()):
            try:
                assert len(decoder.read(source, num_frames=8).frames) == 8
            except VideoError:
                refused.append(path.stem)
    assert set(refused) == {"cut_half", "empty", "head_only", "no_index", "text_as_mp4"}


def test_mutated_files_are_read_or_refused_by_one_and_the_same_worker(decoder, clip):
    good, rng, worker = clip.read_bytes(), random.Random(5), decoder._free.queue[0].process.pid
    for _ in range(60):
        data = bytearray(good)
        for _ in range(rng.choice([1, 5, 50])):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            assert decoder.read(bytes(data), num_frames=rng.choice([None, 4])).frames.ndim == 4
        except (VideoError, ClipError):
            pass
    assert decoder._free.queue[0].process.pid == worker


def test_one_call_reads_with_this_process_own_workers(clip):
    assert read_untrusted(clip.read_bytes(), "upload.mp4", num_frames=3).frames.shape == (3, 48, 64, 3)


def test_poses_of_a_strangers_video(shared_data, decoder):
    from slt_hf.poses.mediapipe_extractor import find_extraction_python

    try:
        find_extraction_python()
    except PreparationError as error:
        pytest.skip(str(error))
    body = (shared_data / "continuous/how2sign_clips/videos/_15CDIexNDM_0-5-rgb_front.mp4").read_bytes()
    with GuardedExtractor(decoder) as extractor:
        with pytest.raises(VideoError, match="upload.mp4: expected"):
            extractor.extract(b"no video", "upload.mp4")
        assert extractor.extract(body, "upload.mp4", end_ms=200).points.shape[0] == 5
