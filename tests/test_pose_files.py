"""Reading and writing .pose files: as pose-format reads them, only the wanted frames, and never more than is there."""

from __future__ import annotations

import csv
import io
import struct
import tracemalloc

import numpy as np
import pytest

from slt_hf.errors import ClipError, LandmarkError, PoseFileError
from slt_hf.processing.landmarks import LAYOUTS, get_layout
from slt_hf.processing.pose_files import PoseClip, PoseWarning, pose_bytes, read_pose, read_pose_header, write_pose

HAND = ("RIGHT_HAND_LANDMARKS", ["WRIST", "THUMB_CMC"])


def text(value: str) -> bytes:
    return struct.pack("<H", len(value.encode())) + value.encode()


def header_bytes(version: float, components=(HAND,), form: str = "XYC", size=(640, 480, 0)) -> bytes:
    out = struct.pack("<f", version) + struct.pack("<HHHH", *size, len(components))
    for name, points in components:
        out += text(name) + text(form) + struct.pack("<HHH", len(points), 1, 1)
        out += b"".join(map(text, points)) + struct.pack("<HH", 0, 0) + struct.pack("<HHH", 1, 2, 3)
    return out


def clip_of(layout: str, frames: int = 5, axes: int = 3, seed: int = 0) -> PoseClip:
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 500, (frames, get_layout(layout).num_points, axes)).astype(np.float32)
    confidence = rng.choice(np.array([0, 0.5, 1], np.float32), points.shape[:2])
    points[confidence == 0] = np.nan
    return PoseClip(points, confidence, layout, 25.0, 500, 400)


@pytest.fixture(scope="module")
def real_files(shared_data):
    with (shared_data / "pose_headers.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [(shared_data / row["path"], row) for row in rows]


def test_real_files_read_as_pose_format_reads_them(real_files):
    from pose_format import Pose

    for path, _ in real_files:
        clip, pose = read_pose(path), Pose.read(path.read_bytes())
        points = np.asarray(pose.body.data.data, dtype=np.float32)[:, 0]
        confidence = np.asarray(pose.body.confidence, dtype=np.float32)[:, 0]
        seen = (confidence > 0) & np.isfinite(points).all(axis=-1)
        assert clip.fps == pytest.approx(pose.body.fps)
        np.testing.assert_array_equal(clip.points, np.where(seen[..., None], points, np.nan), str(path))
        np.testing.assert_array_equal(clip.confidence, np.where(seen, confidence.clip(0, 1), 0), str(path))


def test_real_headers_say_what_the_table_says(real_files):
    for path, row in real_files:
        header = read_pose_header(path)
        assert f"{header.version:g}" == f"{float(row['version']):g}"
        assert header.fps == pytest.approx(float(row["fps"]), abs=0.01)
        assert (header.num_frames, header.num_points, header.num_axes) == (
            int(row["frames"]), int(row["points"]), int(row["dims"]),
        )  # fmt: skip
        assert (header.width, header.height) == (int(row["width"]), int(row["height"]))
        assert " ".join(f"{name}:{len(points)}" for name, points in header.components) == row["components"]


@pytest.mark.parametrize("version", ["0.0", "0.1", "0.2"])
def test_a_time_range_reads_those_frames(real_files, version):
    path = next(
        path for path, row in real_files if f"{float(row['version']):.1f}" == version and int(row["frames"]) > 20
    )
    whole = read_pose(path)
    milliseconds = 1000 / whole.fps
    part = read_pose(path, start_ms=5 * milliseconds, end_ms=12 * milliseconds)
    np.testing.assert_array_equal(part.points, whole.points[5:12])
    np.testing.assert_array_equal(part.confidence, whole.confidence[5:12])
    assert read_pose(path, start_ms=7 * milliseconds).num_frames == whole.num_frames - 7
    assert read_pose(path, end_ms=1e9).num_frames == whole.num_frames


class CountingFile(io.BytesIO):
    bytes_read = 0

    def read(self, *arguments):
        content = super().read(*arguments)
        self.bytes_read += len(content)
        return content


def test_only_the_frames_of_the_range_are_read():
    content = pose_bytes(clip_of("holistic_543", frames=200))
    read_pose(io.BytesIO(content))  # a header that was read before is compared, not parsed: the same bytes for both
    whole, part = CountingFile(content), CountingFile(content)
    read_pose(whole)
    read_pose(part, start_ms=4000, end_ms=4200)
    frame_bytes = 543 * 4 * 4
    assert whole.bytes_read - part.bytes_read == 195 * frame_bytes


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("axes", [2, 3])
def test_what_is_written_is_read(tmp_path, layout, axes):
    clip = clip_of(layout, axes=axes)
    write_pose(clip, tmp_path / "clip.pose")
    again = read_pose(tmp_path / "clip.pose")
    assert (again.layout, again.fps, again.width, again.height) == (layout, 25.0, 500, 400)
    np.testing.assert_array_equal(again.points, clip.points)
    np.testing.assert_array_equal(again.confidence, clip.confidence)
    assert (tmp_path / "clip.pose").read_bytes() == pose_bytes(clip) == pose_bytes(clip_of(layout, axes=axes))


def test_pose_format_reads_what_we_write():
    from pose_format import Pose

    clip = clip_of("holistic_576")
    pose = Pose.read(pose_bytes(clip))
    assert [component.name for component in pose.header.components][0] == "POSE_LANDMARKS"
    np.testing.assert_array_equal(np.asarray(pose.body.data.filled(np.nan))[:, 0], clip.points)


@pytest.mark.parametrize(
    ("wrong", "found"), [({"width": 70000}, "70000"), ({"points": np.zeros((5, 21, 4))}, "4 coord")]
)
def test_a_clip_that_the_format_cannot_hold_is_not_written(tmp_path, wrong, found):
    clip = clip_of("hands_21")
    for name, value in wrong.items():
        setattr(clip, name, value)
    with pytest.raises(ClipError, match=found):
        write_pose(clip, tmp_path / "clip.pose")
    assert not (tmp_path / "clip.pose").exists()


def test_every_kind_of_source_gives_the_same_clip(tmp_path):
    path = tmp_path / "clip.pose"
    write_pose(clip_of("hands_42"), path)
    with path.open("rb") as file:
        clips = [
            read_pose(source) for source in (path, str(path), path.read_bytes(), io.BytesIO(path.read_bytes()), file)
        ]
    for clip in clips[1:]:
        np.testing.assert_array_equal(clip.points, clips[0].points)
    assert clips[0].source == str(path)


def people_file(version: float) -> bytes:
    """Three frames, two people, the second more sure; two points."""
    first, second = np.full((3, 2, 2), 10, "<f4"), np.full((3, 2, 2), 20, "<f4")
    sure, unsure = np.full((3, 2), 0.9, "<f4"), np.full((3, 2), 0.4, "<f4")
    if version == 0.0:
        body = struct.pack("<HH", 24, 3)
        for frame in range(3):
            body += struct.pack("<H", 2)
            for number, points, confidence in ((0, first, unsure), (1, second, sure)):
                body += (
                    struct.pack("<h", number)
                    + np.dstack([points[frame : frame + 1], confidence[frame : frame + 1]]).tobytes()
                )
        return header_bytes(version) + body
    counts = struct.pack("<HHH", 24, 3, 2) if version == 0.1 else struct.pack("<fIH", 24, 3, 2)
    data, confidence = np.stack([first, second], axis=1), np.stack([unsure, sure], axis=1)
    return header_bytes(version) + counts + data.tobytes() + confidence.tobytes()


@pytest.mark.parametrize("version", [0.0, 0.1, 0.2])
def test_of_several_people_the_one_seen_most_surely_is_read_and_said(version):
    with pytest.warns(PoseWarning, match="2 people; person 2"):
        clip = read_pose(people_file(version))
    assert clip.num_people == 2 and clip.num_frames == 3
    assert (clip.points[:, :2] == 20).all() and np.allclose(clip.confidence[:, :2], 0.9)


def test_frames_of_version_0_0_without_people_are_undetected():
    body = struct.pack("<HHH", 24, 2, 0) + struct.pack("<Hh", 1, 0) + np.full((2, 3), 1, "<f4").tobytes()
    clip = read_pose(header_bytes(0.0) + body)
    assert clip.num_frames == 2 and not clip.confidence[0].any() and clip.confidence[1, :2].all()


def test_version_0_1_counts_past_65535_frames():
    frames, points = 70_000, 2
    values = np.arange(frames * points * 2, dtype="<f4") % 1000
    body = struct.pack("<HHH", 25, frames % 65536, 1) + values.tobytes() + np.ones(frames * points, "<f4").tobytes()
    clip = read_pose(header_bytes(0.1) + body, start_ms=2_799_000)
    assert clip.num_frames == 25
    np.testing.assert_array_equal(clip.points[0, :2].ravel(), values[-25 * 4 : -24 * 4])


def test_version_0_1_cut_short_is_refused():
    body = struct.pack("<HHH", 25, 10, 1) + bytes(9 * 2 * 3 * 4)
    with pytest.raises(PoseFileError, match=r"10 frames.*found.*9 frames"):
        read_pose(header_bytes(0.1) + body)


def test_bytes_after_the_last_frame_are_ignored():
    content = pose_bytes(clip_of("hands_42"))
    np.testing.assert_array_equal(read_pose(content + b"junk" * 64).points, read_pose(content).points)


def test_points_that_the_file_lacks_are_masked():
    clip = read_pose(header_bytes(0.2) + struct.pack("<fIH", 25, 1, 1) + np.ones(6, "<f4").tobytes())
    assert clip.layout == "hands_21"
    assert (
        (clip.confidence[0, :2] == 1).all() and not clip.confidence[0, 2:].any() and np.isnan(clip.points[0, 2:]).all()
    )


def test_impossible_values_are_undetected():
    values = np.float32([[1, 2], [3, 4], [np.nan, 1], [np.inf, 1], [1e36, 1], [5, 6], [5, 6], [5, 6]])
    confidence = np.float32([1, 4, 1, 1, 1, np.nan, -1, 0])
    content = header_bytes(0.2) + struct.pack("<fIH", 25, 4, 1) + values.tobytes() + confidence.tobytes()
    clip = read_pose(content)
    assert clip.confidence[:, :2].ravel().tolist() == [1, 1, 0, 0, 0, 0, 0, 0]
    assert np.isfinite(clip.points[:, :2].reshape(-1, 2)[:2]).all() and np.isnan(clip.points[1:]).all()


@pytest.mark.parametrize("fps", [0, -25, 1e-6, 0.5, float("nan"), float("inf"), 1e9])
def test_absurd_frame_rates_are_refused_unless_the_true_one_is_given(fps):
    content = header_bytes(0.2) + struct.pack("<fIH", fps, 1, 1) + np.ones(6, "<f4").tobytes()
    with pytest.raises(ClipError, match="fps="):
        read_pose(content)
    assert read_pose(content, fps=30).fps == 30


@pytest.mark.parametrize(
    ("start", "end", "found"),
    [(-1, None, "-1"), (500, 500, "500"), (500, 100, "100"), (9000, None, "200 ms"), ("nan", None, "nan")],
)
def test_impossible_time_ranges_are_refused(start, end, found):
    with pytest.raises(ClipError, match=found):
        read_pose(pose_bytes(clip_of("hands_21")), start_ms=float(start), end_ms=end)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "empty file"),
        (b"uid,text\n1,hello\n", "text beginning"),
        (b"\x80\x04\x95\x00\x00\x00", "pickle"),
        (b"\x80\x05\x95\x00\x00\x00", "pickle"),
        (b"PK\x03\x04" + bytes(100), "zip archive"),
        (b"\x93NUMPY\x01\x00", ".npy"),
        (b"\x89PNG\r\n", "PNG"),
        (struct.pack("<f", 9.75) + bytes(100), "version 9.75"),
        (struct.pack("<f", float("nan")) + bytes(100), "version nan"),
        (struct.pack("<f", 1e-9) + bytes(100), "version 1e-09"),
        (bytes(1000), "none"),  # version 0.0 without components
        (header_bytes(0.2, components=[("A", [])]) + bytes(10), "none"),
        (header_bytes(0.2, form="XYZWC"), "XYZWC"),
        (header_bytes(0.2, form="XY"), "'XY'"),
        (header_bytes(0.2)[:30], "before the end"),
        (header_bytes(0.2), "before the end"),
        (struct.pack("<f", 0.2) + struct.pack("<HHHH", 1, 1, 0, 1) + b"\x02\x00\xff\xfe" + bytes(9), "UTF-8"),
    ],
)
def test_what_is_no_pose_file_is_named(content, found):
    with pytest.raises(PoseFileError, match=found):
        read_pose(content)


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(PoseFileError, match=r"gone.pose: expected a .pose file, found nothing"):
        read_pose(tmp_path / "gone.pose")
    with pytest.raises(PoseFileError, match="found a folder"):
        read_pose(tmp_path)


def test_unknown_components_are_named():
    with pytest.raises(LandmarkError, match="SMPLX:1"):
        read_pose(header_bytes(0.2, components=[("SMPLX", ["pelvis"])]) + struct.pack("<fIH", 25, 0, 1))


@pytest.mark.parametrize("counts", [(25, 0, 1), (25, 5, 0)])
def test_no_frames_or_no_people_is_refused(counts):
    with pytest.raises(ClipError, match="at least one"):
        read_pose(header_bytes(0.2) + struct.pack("<fIH", *counts) + bytes(1000))


def peak_memory(content: bytes) -> int:
    tracemalloc.start()
    with pytest.raises(PoseFileError):
        read_pose(content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_a_million_frame_header_in_a_small_file_costs_nothing():
    counts = struct.pack("<fIH", 25, 1_000_000, 1)
    assert peak_memory(header_bytes(0.2) + counts + bytes(900)) < 2**20
    assert peak_memory(header_bytes(0.2) + struct.pack("<fIH", 25, 2**32 - 1, 65535) + bytes(900)) < 2**20


def test_empty_frames_of_version_0_0_cannot_fill_the_memory():
    points = [str(index) for index in range(468)]
    header = header_bytes(0.0, components=[("FACE_LANDMARKS", points)])
    assert peak_memory(header + struct.pack("<HH", 25, 65535) + bytes(2 * 65535)) < 64 * 2**20


def test_one_crowded_frame_of_version_0_0_cannot_fill_the_memory():
    crowd = struct.pack("<H", 2000) + bytes(2000 * (2 + 2 * 3 * 4))
    content = header_bytes(0.0) + struct.pack("<HH", 25, 30000) + bytes(2 * 29999) + crowd
    assert peak_memory(content) < 64 * 2**20
