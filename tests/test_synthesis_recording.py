"""Clips of the synthetic signer: exact to the byte, the same in every layout, varied as real recordings vary."""

from __future__ import annotations

import hashlib
import runpy
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from slt_hf.errors import LandmarkError
from slt_hf.processing.landmarks import convert, get_layout
from slt_hf.processing.pose_files import PoseClip, read_pose, write_pose
from slt_hf.synthesis import (
    Camera,
    Noise,
    Signer,
    corpus,
    handshape_points,
    make_sample,
    signer_of,
    synthesize,
    synthesize_timed,
    synthetic_sample,
)
from slt_hf.synthesis.body import face_mesh

SENTENCE = "My sister Zoe bought two red apples yesterday."
QUIET = Signer(noise=Noise())
LEFT, RIGHT = slice(11, 32), slice(32, 53)  # hands in signing_85


def digest(clip: PoseClip, folder: Path) -> str:
    write_pose(clip, folder / "clip.pose")
    return hashlib.sha256((folder / "clip.pose").read_bytes()).hexdigest()


def same(one: PoseClip, other: PoseClip) -> bool:
    points = np.array_equal(one.points, other.points, equal_nan=True)
    return points and np.array_equal(one.confidence, other.confidence)


def test_same_seed_gives_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    script = (
        "import sys; import numpy as np\n"
        "from slt_hf.processing.pose_files import write_pose\n"
        "from slt_hf.synthesis import Signer, synthesize\n"
        "signer = Signer.random(np.random.default_rng(5), noisy=True)\n"
        f"write_pose(synthesize({SENTENCE!r}, seed=3, signer=signer), sys.argv[1])\n"
    )
    written = []
    for hash_seed in ("1", "2"):
        path = tmp_path / f"{hash_seed}.pose"
        subprocess.run([sys.executable, "-c", script, str(path)], check=True, env={"PYTHONHASHSEED": hash_seed})
        written.append(path.read_bytes())
    signer = Signer.random(np.random.default_rng(5), noisy=True)
    here = digest(synthesize(SENTENCE, seed=3, signer=signer), tmp_path)
    assert written[0] == written[1] and hashlib.sha256(written[0]).hexdigest() == here


def test_seeds_and_signers_change_the_clip() -> None:
    clips = [synthesize(SENTENCE, seed=seed) for seed in (0, 1)]
    clips.append(synthesize(SENTENCE, seed=0, signer=Signer(arm_length=1.05)))
    assert not same(clips[0], clips[1]) and not same(clips[0], clips[2])


@pytest.mark.parametrize("layout", ["signing_85", "holistic_75", "hands_42", "coco_wholebody_133", "openpose_137"])
@pytest.mark.parametrize("noisy", [False, True])
def test_small_layouts_equal_the_converted_full_clip(layout: str, noisy: bool) -> None:
    signer = Signer.random(np.random.default_rng(1), noisy)
    full = synthesize(SENTENCE, 4, signer)
    made = synthesize(SENTENCE, 4, signer, layout)
    points, confidence = convert(full.points, full.confidence, "holistic_543", layout)
    assert made.layout == layout and made.points.shape[1] == get_layout(layout).num_points
    assert np.allclose(made.points, points, atol=1e-3, equal_nan=True)
    assert np.allclose(made.confidence, confidence)


def test_clip_is_what_holistic_files_hold(tmp_path: Path) -> None:
    clip = synthesize(SENTENCE, signer=QUIET)
    assert clip.points.dtype == np.float32 and clip.points.shape[1:] == (543, 3)
    assert (clip.width, clip.height, clip.fps) == (1280, 720, 25.0)
    assert ((clip.confidence >= 0) & (clip.confidence <= 1)).all()
    body = clip.points[:, :25]
    assert body[..., 0].min() > 0 and body[..., 0].max() < 1280
    left, right = body[0, 11], body[0, 12]
    assert left[0] > right[0]  # the signer's left is to the right in the picture
    assert np.linalg.norm(left[:2] - right[:2]) == pytest.approx(0.28 * 720, rel=0.02)
    assert np.abs(clip.points[..., 2]).max() < 1  # depth is a share of the picture's width
    assert np.allclose(clip.points[:, [501, 522], 2], 0, atol=1e-4)  # and counts from the wrist in a hand
    write_pose(clip, tmp_path / "clip.pose")
    assert same(read_pose(tmp_path / "clip.pose"), clip)


def test_frame_rate_changes_the_sampling_not_the_movement() -> None:
    slow, fast = (synthesize(SENTENCE, 2, replace(QUIET, camera=Camera(fps=fps))) for fps in (25.0, 50.0))
    frames = min(slow.num_frames, (fast.num_frames + 1) // 2)
    away = np.linalg.norm(slow.points[:frames, 522:, :2] - fast.points[: 2 * frames : 2, 522:, :2], axis=-1)
    assert slow.duration_ms == pytest.approx(fast.duration_ms, abs=45)
    assert np.nanmedian(away) < 2 and np.nanmax(away) < 30  # pixels; smoothing sees more of the movement at 50 fps


def test_left_handed_signer_is_the_mirror_image() -> None:
    camera = Camera(center=(0.5, 0.5))
    right, left = (
        synthesize("I love my mother.", 1, Signer(handedness=hand, camera=camera)) for hand in ("right", "left")
    )
    layout = get_layout("holistic_543")
    hands = [i for i, name in enumerate(layout.points) if "_hand_" in name or name.endswith(("_elbow", "_shoulder"))]
    mirrored = left.points[:, np.array(layout.mirror)[hands]] * [-1, 1, 1] + [1280, 0, 0]
    away = np.abs(right.points[:, hands] - mirrored)[..., :2]
    assert away.mean() < 6  # the trunk sways the same way, not mirrored


def test_camera_moves_size_and_angle() -> None:
    cameras = Camera(), Camera(shoulder_share=0.14), Camera(yaw_deg=40.0)
    near, far, turned = (synthesize(["I"], signer=Signer(camera=camera)) for camera in cameras)
    width = [np.linalg.norm(clip.points[0, 11, :2] - clip.points[0, 12, :2]) for clip in (near, far, turned)]
    assert width[1] == pytest.approx(width[0] / 2, rel=0.02)
    assert width[2] < 0.85 * width[0]


def test_noise_jitters_loses_hands_and_drops_frames() -> None:
    calm = synthesize(SENTENCE, signer=QUIET, layout="signing_85")

    def noisy(**change: float) -> PoseClip:
        return synthesize(SENTENCE, signer=replace(QUIET, noise=Noise(**change)), layout="signing_85")  # type: ignore[arg-type]

    shaken = noisy(jitter=0.01).points[:, :11, :2] - calm.points[:, :11, :2]
    assert shaken.std() == pytest.approx(0.01 * 0.28 * 720, rel=0.1)
    lost = noisy(missing_hand_rate=0.2)
    gone = ~np.isfinite(lost.points[:, RIGHT, 0])
    assert 0.05 < gone.mean() < 0.5 and (gone.all(axis=1) == gone.any(axis=1)).all()
    assert (lost.confidence[:, RIGHT][gone] == 0).all()
    dropped = noisy(dropped_frame_rate=0.3).points[:, :11]
    repeated = (np.diff(dropped, axis=0) == 0).all(axis=(1, 2))
    assert 0.15 < repeated.mean() < 0.45
    swapped = noisy(swapped_frames=0.2).points[:, RIGHT.start, 0]
    assert (np.abs(swapped - calm.points[:, RIGHT.start, 0]) > 50).mean() > 0.05
    hips = [
        synthesize(["I"], signer=replace(QUIET, noise=Noise(hips_visible=seen))).confidence[:, 23:25]
        for seen in (True, False)
    ]
    assert hips[0].min() > 0.8 and hips[1].max() < 0.1


def test_a_hand_outside_the_picture_is_not_found() -> None:
    camera = Camera(center=(0.5, 0.75), shoulder_share=0.36)
    clip = synthesize(["I"], signer=Signer(rest="hanging", camera=camera), layout="signing_85")
    assert np.isnan(clip.points[0, LEFT]).all() and (clip.confidence[0, LEFT] == 0).all()


def test_signers_differ_and_splits_share_none() -> None:
    signers = [signer_of(split, 0, index) for split in ("train", "validation", "test") for index in range(40)]
    assert len(set(signers)) == len(signers)
    assert {signer.handedness for signer in signers} == {"left", "right"}
    assert {signer.camera.fps for signer in signers} == {24, 25, 30, 50, 60}
    noisy = [signer_of("test", 0, index, noisy=True) for index in range(40)]
    assert np.mean([s.noise.jitter for s in noisy]) > 2 * np.mean([s.noise.jitter for s in signers])
    assert all(s.noise.missing_hand_rate > 0 for s in noisy)


def test_corpus_is_seeded_and_can_be_entered_anywhere() -> None:
    samples = list(corpus(3, "test", seed=1, noisy=True, layout="signing_85"))
    again = make_sample(2, "test", seed=1, noisy=True, layout="signing_85")
    assert again.text == samples[2].text and same(again.clip, samples[2].clip)
    assert len({sample.id for sample in samples}) == len({sample.signer for sample in samples}) == 3
    assert all(sample.split == "test" and sample.num_frames == sample.clip.num_frames for sample in samples)


def test_rows_are_what_collators_take() -> None:
    row = synthetic_sample("train", (0, 1, 2), layout="signing_85")
    assert isinstance(row["clip"], PoseClip) and row["text"] and row["num_frames"] == row["clip"].num_frames
    assert row["text"] != synthetic_sample("train", (0, 2, 2), layout="signing_85")["text"]


def test_signs_are_timed() -> None:
    clip, spans = synthesize_timed(["MY", "NAME", "fs:ANNA"])
    assert [gloss for gloss, _, _ in spans] == ["MY", "NAME", "fs:ANNA"]
    times = np.array([time for _, start, end in spans for time in (start, end)])
    assert (np.diff(times) > 0).all() and 0 < times[0] and times[-1] < clip.duration_ms


@pytest.mark.parametrize("layout", ["hands_42", "holistic_75"])
def test_letters_come_alone_for_augmentation(layout: str) -> None:
    signer = Signer.random(np.random.default_rng(0))
    clip = handshape_points("r", signer, seed=1, layout=layout, duration_ms=600)
    assert clip.points.shape[1] == get_layout(layout).num_points
    assert clip.duration_ms == pytest.approx(600, rel=0.35)


def test_unknown_layout_is_refused() -> None:
    with pytest.raises(LandmarkError, match="signing_84"):
        synthesize(["I"], layout="signing_84")


def test_a_sentence_takes_milliseconds() -> None:
    """Training makes its sentences while it runs. Processor time, so that a busy machine does not matter much."""
    make_sample(0, layout="signing_85")
    started = time.process_time()
    for index in range(20):
        make_sample(index, layout="signing_85")
    assert (time.process_time() - started) / 20 < 0.06


def test_pictures_of_the_documentation_are_small(repository: Path) -> None:
    for name in ("letters.png", "signs.png"):
        path = repository / "docs" / "images" / name
        assert 5_000 < path.stat().st_size < 150_000


def test_face_table_is_the_one_its_script_makes(repository: Path) -> None:
    """Features are where the script puts them; the rest needs MediaPipe's index lists."""
    script = runpy.run_path(str(repository / "scripts" / "make_face_mesh.py"))
    features = script["features"]()
    expected = np.array(list(features.values()))
    assert np.allclose(face_mesh()[list(features), :2] * 1000, expected, atol=0.051)  # rounded to 0.1 mm
    assert np.allclose(face_mesh()[list(features), 2] * 1000, script["depth"](expected), atol=0.051)
    assert len(face_mesh()) == 468
