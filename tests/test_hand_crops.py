"""Hand crops beside poses: cut where and when the hands are, whatever happens to the clip; the image encoder's gate is
closed at first, opened by learning, absent from old checkpoints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from huggingface_hub.errors import StrictDataclassClassValidationError  # noqa: E402
from test_modeling_sign_to_text import POSE, T5, tiny_model  # noqa: E402
from transformers import UMT5Config  # noqa: E402

from slt_hf.modeling import SignToTextConfig, SignToTextForConditionalGeneration, VideoEncoderConfig  # noqa: E402
from slt_hf.processing import PoseFeatureExtractor, VideoClip  # noqa: E402
from slt_hf.processing.hand_crops import hand_middles, with_hands, with_stored_hands  # noqa: E402
from slt_hf.processing.landmarks import get_layout  # noqa: E402
from slt_hf.processing.pose_augmentation import AugmentationSettings, augment_clip  # noqa: E402
from slt_hf.processing.pose_clip import PoseClip, PoseWarning  # noqa: E402
from slt_hf.processing.pose_errors import ClipError, VideoError  # noqa: E402
from slt_hf.processing.pose_files import read_pose  # noqa: E402

LAYOUT = get_layout("signing_85")
WIDTH, HEIGHT = 128, 96
LEFT, RIGHT = (96, 48), (32, 48)  # where the hands' middles are
RED, GREEN = 0, 1  # in `film`, the right hand is as red as its frame's number says, the left one as green


def clip_of(frames: int = 4, fps: float = 25.0) -> PoseClip:
    """Someone whose shoulders are 40 pixels apart; crops of their hands are 36 pixels wide."""
    points = np.full((frames, 85, 2), np.nan, np.float32)
    places = {"left_shoulder": (84, 20), "right_shoulder": (44, 20), "left_elbow": (94, 38), "right_elbow": (34, 38),
              "left_wrist": (94, 43), "right_wrist": (34, 43)}  # fmt: skip
    for name, place in places.items():
        points[:, LAYOUT.points.index(name)] = place
    for side, middle in (("left", LEFT), ("right", RIGHT)):
        hand = list(LAYOUT.parts[f"{side}_hand"])
        points[:, hand] = np.array(middle) + np.linspace(-5, 5, len(hand))[:, None]
    confidence = np.asarray(np.isfinite(points).all(-1), np.float32)
    return PoseClip(points, confidence, "signing_85", fps, WIDTH, HEIGHT)


def pictures(frames: int) -> np.ndarray:
    """Frame k: 8 k of red around the right hand and of green around the left one, which is blue on its outer side."""
    film = np.zeros((frames, HEIGHT, WIDTH, 3), np.uint8)
    for k in range(frames):
        film[k, :, :64, RED] = film[k, :, 64:, GREEN] = 8 * k
    film[:, :, 96:, 2] = 200
    return film


def make_film(path: Path, frames: int = 25, fps: int = 25, film: np.ndarray | None = None) -> Path:
    film = pictures(frames) if film is None else film
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"qp": "1"})
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = WIDTH, HEIGHT, "yuv444p", 12
        for image in film:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_film(tmp_path_factory.mktemp("film") / "film.mp4")


def numbers(crops: Any, colour: int = RED, slot: int = 1) -> list[int]:
    """Which frames of the film the crops (T, 2, 3, P, P) of one hand show, by their colour."""
    return np.round(np.asarray(crops)[:, slot, colour, 4:-4, 4:-4].mean((-1, -2)) / 8).astype(int).tolist()


# Where


def test_crops_show_the_hands_and_the_left_one_in_a_mirror() -> None:
    frames = np.zeros((4, HEIGHT, WIDTH, 3), np.uint8)
    frames[:, 38:58, 32:50, 0] = 200  # red to the right of the right hand's middle
    frames[:, 38:58, 78:96, 1] = 200  # green to the left of the left hand's middle
    crops, seen = with_hands(clip_of(), frames).hands.cut(24)  # type: ignore[union-attr]
    assert crops.shape == (4, 2, 3, 24, 24) and seen.all()
    for hand, colour in ((0, 1), (1, 0)):
        assert crops[0, hand, colour, 8:16, 14:22].min() > 150
        assert crops[0, hand, colour, :, :10].max() == 0


def test_a_hand_without_points_is_looked_for_beyond_its_wrist() -> None:
    clip = clip_of()
    clip.confidence[1:3, list(LAYOUT.parts["right_hand"])] = 0
    clip.confidence[2, LAYOUT.points.index("right_wrist")] = 0
    middles, half = hand_middles(clip)
    assert half == pytest.approx(0.9 * 40 / 2)
    np.testing.assert_allclose(middles[0, 1], RIGHT, atol=1e-4)
    np.testing.assert_allclose(middles[1, 1], [34, 44.5], atol=1e-4)  # wrist at 43, elbow at 38
    assert np.isnan(middles[2, 1]).all() and np.isfinite(middles[2, 0]).all()
    _, seen = with_hands(clip, np.zeros((4, HEIGHT, WIDTH, 3), np.uint8)).hands.cut(16)  # type: ignore[union-attr]
    assert seen.tolist() == [[1, 1], [1, 1], [1, 0], [1, 1]]


def test_a_hand_out_of_the_picture_is_not_seen_and_one_at_its_edge_has_black_beside_it() -> None:
    clip = clip_of(2)
    hand = list(LAYOUT.parts["right_hand"])
    clip.points[0, hand] -= [28, 0]
    clip.points[1, hand] += [0, 60]
    crops, seen = with_hands(clip, np.full((2, HEIGHT, WIDTH, 3), 255, np.uint8)).hands.cut(36)  # type: ignore[union-attr]
    assert seen.tolist() == [[1, 1], [1, 0]]
    assert crops[0, 1, :, :, :13].max() == 0 and crops[0, 1, :, :, 15:].min() == 255  # the edge is 14 pixels in


def test_hands_that_the_detector_confused_go_with_their_poses() -> None:
    clip = clip_of()
    left, right = (list(LAYOUT.parts[f"{side}_hand"]) for side in ("left", "right"))
    clip.points[:, left], clip.points[:, right] = clip.points[:, right].copy(), clip.points[:, left].copy()
    crops = PoseFeatureExtractor(hand_crop_size=16)(clip, video=pictures(4))["crop_values"][0]
    assert numbers(crops, RED, slot=1) == numbers(crops, GREEN, slot=0) == [0, 1, 2, 3]


def test_poses_of_a_scaled_picture_find_the_hands_in_the_large_one() -> None:
    small = clip_of()
    small = replace(small, points=small.points / 2, width=WIDTH // 2, height=HEIGHT // 2)
    expected = with_hands(clip_of(), pictures(4)).hands.cut(16)[0]  # type: ignore[union-attr]
    np.testing.assert_array_equal(with_hands(small, pictures(4)).hands.cut(16)[0], expected)  # type: ignore[union-attr]


def test_fractions_of_the_picture_are_refused() -> None:
    clip = clip_of()
    clip = replace(clip, points=clip.points / 128, width=None, height=None)
    with pytest.raises(ClipError, match="expected landmarks in pixels of the video, found shoulders 0.31 apart"):
        PoseFeatureExtractor(hand_crop_size=16)(clip, video=pictures(4))


# When


@pytest.mark.parametrize(("rate", "expected"), [(25.0, range(25)), (12.5, range(0, 25, 2))])
def test_crops_are_of_the_frames_that_the_model_sees(film: Path, rate: float, expected: range) -> None:
    batch = PoseFeatureExtractor(fps=rate, hand_crop_size=16)(clip_of(25), video=film)
    assert batch["crop_values"].dtype == np.uint8 and batch["crop_values"].shape[1] == batch["pose_values"].shape[1]
    crops, count = batch["crop_values"][0], batch["pose_values"].shape[1]
    assert numbers(crops) == numbers(crops, GREEN, slot=0) == list(expected)[:count]


def test_a_part_of_the_poses_has_the_crops_of_that_part(film: Path) -> None:
    extractor = PoseFeatureExtractor(hand_crop_size=16, max_frames=5)
    with pytest.warns(PoseWarning, match="the model reads the first 5"):
        crops = extractor(clip_of(25), video=film, start_ms=200, end_ms=600)["crop_values"][0]
    assert numbers(crops) == [5, 6, 7, 8, 9]
    held = extractor(clip_of(4), video=VideoClip(film, 400, 560))  # poses of a part, cut before
    assert numbers(held["crop_values"][0]) == [10, 11, 12, 13]


def test_rounded_rates_match_frame_by_frame_and_other_rates_by_time(tmp_path: Path) -> None:
    """Poses of a film of 30 Hz that say 29.8 or, in the old .pose header, 29; and poses at half its rate."""
    path = make_film(tmp_path / "film.mp4", frames=30, fps=30)
    for stated in (29.8, 29.0):
        clip = clip_of(30, stated)
        same = PoseFeatureExtractor(fps=stated, hand_crop_size=16)
        assert numbers(same(clip, video=path)["crop_values"][0]) == list(range(30))
    half = PoseFeatureExtractor(fps=15, hand_crop_size=16)(clip_of(15, 15.0), video=path)
    assert numbers(half["crop_values"][0]) == list(range(0, 30, 2))


def test_only_the_frames_needed_are_kept_in_memory_one_at_a_time(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from slt_hf.processing import video_frames

    shown: list[float] = []
    decode_at = video_frames.decode_at

    def watched(*given: Any) -> Any:
        for frame in decode_at(*given):
            shown.append(frame.time_ms)
            yield frame

    monkeypatch.setattr(video_frames, "decode_at", watched)
    PoseFeatureExtractor(fps=5, hand_crop_size=16)(clip_of(25), video=film)
    np.testing.assert_allclose(shown, [0, 200, 400, 600, 800])


def test_a_mirrored_signer_has_mirrored_and_swapped_crops(film: Path) -> None:
    """Clips of left-handed signers are mirrored by the processor: as if the film had been."""
    clip = clip_of(25)
    clip.confidence[::2, list(LAYOUT.parts["right_hand"])] = 0  # the left hand signs
    extractor = PoseFeatureExtractor(signing_hand="right", hand_crop_size=16)
    batch = extractor(clip, video=film)
    left = LAYOUT.points.index("left_hand_wrist")
    assert (batch["pose_values"][0, ::2, left, 2] == 0).all(), "the clip is mirrored"
    crops = batch["crop_values"][0]
    assert numbers(crops, GREEN, slot=1) == numbers(crops, RED, slot=0) == list(range(25))
    lost = PoseClip(clip.points, clip.confidence, clip.layout, clip.fps, WIDTH, HEIGHT)
    lost.points = clip.points[:, list(LAYOUT.mirror)] * [-1, 1] + [WIDTH, 0]
    lost.confidence = clip.confidence[:, list(LAYOUT.mirror)]
    flipped = extractor(lost, video=pictures(25)[:, :, ::-1])
    np.testing.assert_allclose(flipped["pose_values"], batch["pose_values"], atol=1e-5)
    np.testing.assert_allclose(flipped["crop_values"][0].astype(int), crops.astype(int), atol=6)  # by compression


def test_poses_alone_go_without_crops_and_say_so_once() -> None:
    extractor = PoseFeatureExtractor(hand_crop_size=16)
    with pytest.warns(PoseWarning, match="poses without their video: it goes by landmarks alone") as told:
        batch = extractor([clip_of(4), clip_of(6)])
    assert set(batch) == {"pose_values", "attention_mask"} and len(told) == 1
    with pytest.warns(PoseWarning, match="landmarks alone"):
        batch = extractor([clip_of(4), clip_of(6)], video=[pictures(4), None])
    assert batch["crop_mask"].sum((1, 2)).tolist() == [8, 0] and batch["crop_values"].shape[:2] == (2, 6)


def test_what_is_not_the_poses_own_video_is_refused(film: Path, tmp_path: Path) -> None:
    extractor = PoseFeatureExtractor(hand_crop_size=16)
    with pytest.raises(ClipError, match="expected 4 frames, one a pose, found 3"):
        extractor(clip_of(4), video=pictures(3))
    with pytest.raises(ClipError, match="expected a video as long as its poses"):
        extractor(clip_of(60), video=film)
    with pytest.raises(VideoError, match="nothing there"):
        extractor(clip_of(4), video=tmp_path / "absent.mp4")
    with pytest.raises(VideoError, match="fetch the file first"):
        extractor(clip_of(4), video="https://example.org/film.mp4")
    (tmp_path / "empty.mp4").write_bytes(b"")
    with pytest.raises(VideoError, match="expected a readable video"):
        extractor(clip_of(4), video=tmp_path / "empty.mp4")
    with pytest.raises(ClipError, match="expected poses alone, since this checkpoint has no crops"):
        PoseFeatureExtractor()(clip_of(4), video=pictures(4))
    with pytest.raises(ClipError, match="video: expected one value, or one for each of 2 clips, found 3"):
        extractor([clip_of(4)] * 2, video=[pictures(4)] * 3)
    clip = with_hands(clip_of(4), pictures(4))
    with pytest.raises(ClipError, match="expected pictures of the hands for 3 frames, found 4"):
        extractor(replace(clip, points=clip.points[1:], confidence=clip.confidence[1:]))
    with pytest.raises(ClipError, match="hand_crop_size: expected 8 or more"):
        PoseFeatureExtractor(hand_crop_size=4)


def test_stored_crops_are_those_of_the_video_and_damaged_ones_are_refused(film: Path) -> None:
    from slt_hf.data.hand_crops import stored_hands

    clip = with_hands(clip_of(25), film)
    kept = stored_hands(clip, 32)
    extractor = PoseFeatureExtractor(fps=12.5, hand_crop_size=32)
    shown, read = extractor(clip), extractor(with_stored_hands(clip_of(25), kept))
    assert numbers(read["crop_values"][0]) == numbers(shown["crop_values"][0]) == list(range(0, 25, 2))[:12]
    assert read["crop_mask"][0, 1:].all() and shown["crop_mask"].all()
    assert read["crop_mask"][0, 0].tolist() == [1, 0], "what is black all over counts as not seen"
    smaller = PoseFeatureExtractor(hand_crop_size=16)(with_stored_hands(clip_of(25), kept))
    assert numbers(smaller["crop_values"][0]) == list(range(25))
    with pytest.raises(ClipError, match="expected crops of 30 frames, found 25"):
        extractor(with_stored_hands(clip_of(30), kept))
    with pytest.raises(ClipError, match="expected JPEGs of both hands side by side, .* found h264 of 128 x 96"):
        extractor(with_stored_hands(clip_of(25), film.read_bytes()))
    with pytest.raises(VideoError, match="expected a readable video"):
        extractor(with_stored_hands(clip_of(25), kept[:40]))


# What is done to a training clip is done to its crops


def varied(film: Any, **how: float) -> tuple[PoseClip, np.ndarray, np.ndarray]:
    clip = augment_clip(with_hands(clip_of(25), film), np.random.default_rng(4), AugmentationSettings(**how))
    batch = PoseFeatureExtractor(hand_crop_size=16)(clip)
    return clip, batch["crop_values"][0], batch["crop_mask"][0]


def test_tempo_and_trim_move_crops_as_they_move_poses(film: Path) -> None:
    clip, crops, _ = varied(film, trim=0.4)
    assert len(crops) == clip.num_frames < 25
    first = numbers(crops)[0]
    assert first > 0 and numbers(crops) == list(range(first, first + len(crops)))
    clip, crops, _ = varied(film, tempo=0.5)
    expected = np.floor(np.arange(len(crops)) * clip.fps / 25 + 0.5)  # of frame k of the model, at 25 Hz
    assert clip.fps != 25 and np.abs(numbers(crops) - np.minimum(expected, 24)).max() <= 0.5


def test_a_mirrored_training_clip_has_swapped_crops(film: Path) -> None:
    _, crops, _ = varied(film, mirror=1.0)
    assert numbers(crops, GREEN, slot=1) == numbers(crops, RED, slot=0) == list(range(25))


def test_hidden_frames_and_hands_hide_their_crops(film: Path) -> None:
    clip, _, seen = varied(film, frame_dropout=0.5)
    hidden = ~(clip.confidence > 0).any(1)
    assert 0 < hidden.sum() < 25
    np.testing.assert_array_equal(seen, np.stack([~hidden, ~hidden], 1))
    for seed in range(20):
        clip = augment_clip(
            with_hands(clip_of(25), film), np.random.default_rng(seed), AugmentationSettings(part_dropout=1.0)
        )
        there = [(clip.confidence[:, list(LAYOUT.parts[f"{side}_hand"])] > 0).any() for side in ("left", "right")]
        assert np.isfinite(clip.hands.middles).all((0, 2)).tolist() == there  # type: ignore[union-attr]


def test_a_turned_picture_turns_its_crops() -> None:
    """A quarter turn, clockwise as y points down: what was right of each hand is below it, also behind a mirror."""
    frames = np.zeros((1, HEIGHT, WIDTH, 3), np.uint8)
    for x, y in (LEFT, RIGHT):
        frames[:, y - 5 : y + 5, x + 4 : x + 12] = 255
    hands = with_hands(clip_of(1), frames).hands
    crops = hands.turned(np.array([[0.0, -1.0], [1.0, 0.0]])).cut(36)[0][0, :, 0]  # type: ignore[union-attr]
    for crop in crops:
        y, x = np.argwhere(crop > 127).mean(0)
        assert (x, y) == (pytest.approx(17.5, abs=0.6), pytest.approx(17.5 + 8, abs=0.6))


# On a real recording


def test_crops_of_a_real_recording_show_its_fingers_frame_by_frame(shared_data: Path) -> None:
    """A sentence of How2Sign whose video shows OpenPose's drawing: fingers' landmarks lie on drawn fingers in the crops
    of their own frame, and beside them a frame earlier or later."""
    folder, name = shared_data / "continuous" / "how2sign_openpose", "_2FBDaOPYig_4-3-rgb_front"
    clip = with_hands(read_pose(folder / "poses" / f"{name}.pose"), folder / "videos" / f"{name}.mp4")
    assert clip.hands is not None
    size, hand = 96, list(get_layout(clip.layout).parts["right_hand"])
    crops, seen = clip.hands.cut(size)
    assert seen[:, 1].all()

    def on_fingers(late: int) -> float:
        drawn: list[bool] = []
        for k in range(1, clip.num_frames - 1):
            own = clip.points[k, hand, :2][clip.confidence[k, hand] > 0.3] - clip.hands.middles[k + late, 1]  # type: ignore[union-attr]
            x, y = np.round((own / clip.hands.half + 1) * size / 2 - 0.5).astype(int).T  # type: ignore[union-attr]
            inside = (np.minimum(x, y) >= 0) & (np.maximum(x, y) < size)
            drawn += (crops[k + late, 1][:, y[inside], x[inside]].max(0) > 50).tolist()
        return float(np.mean(drawn))

    assert on_fingers(0) > 0.97  # 0.99
    assert max(on_fingers(-1), on_fingers(1)) < 0.6  # 0.53 and 0.52


def test_a_strangers_video_is_not_opened_again_for_its_hands(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a server is sent is read by a guarded process alone: its clip names no file."""
    from types import SimpleNamespace

    from slt_hf import guarded_poses

    found = SimpleNamespace(extract=lambda *part: with_hands(clip_of(4), part[0]))
    monkeypatch.setattr(guarded_poses, "open_extractor", lambda *_, **__: found)
    decoder = SimpleNamespace(limits=SimpleNamespace(budget=None), probe=lambda *_: None)
    extractor = guarded_poses.GuardedExtractor(decoder=decoder)  # type: ignore[arg-type]
    assert found.extract(film).hands is not None and extractor.extract(film.read_bytes()).hands is None


# The image encoder
def inputs(frames: int = 9) -> dict[str, Any]:
    torch.manual_seed(1)
    mask = torch.ones(2, frames, dtype=torch.long)
    mask[1, 5:] = 0
    crop_mask = torch.ones(2, frames, 2, dtype=torch.long)
    crop_mask[0, 2:4] = 0
    crop_mask[1, 5:] = 0
    crops = torch.randint(0, 256, (2, frames, 2, 3, 16, 16), dtype=torch.uint8)
    poses = torch.rand(2, frames, 42, 3)
    return {"pose_values": poses, "attention_mask": mask, "crop_values": crops, "crop_mask": crop_mask,
            "labels": torch.tensor([[5, 6, 1], [7, 1, -100]])}  # fmt: skip


def test_an_old_checkpoint_loads_computes_the_same_and_may_get_crops(tmp_path: Path) -> None:
    old = tiny_model()
    old.save_pretrained(tmp_path)
    given = inputs()
    poses = {name: value for name, value in given.items() if not name.startswith("crop")}
    plain = SignToTextForConditionalGeneration.from_pretrained(tmp_path).eval()
    assert not any(name.startswith("hand_crops") for name in plain.state_dict())
    fused = SignToTextForConditionalGeneration.from_pretrained(tmp_path, hand_crop_width=4).eval()
    assert fused.hand_crops.gate.item() == 0
    for model, seen in ((plain, poses), (fused, poses), (fused, given)):
        assert torch.equal(model(**seen).logits, old(**poses).logits)


def opened(**changes: Any) -> SignToTextForConditionalGeneration:
    model = tiny_model(hand_crop_width=4, **changes)
    torch.nn.init.constant_(model.hand_crops.gate, 0.8)
    return model


def test_padding_and_hands_that_are_not_seen_do_not_count() -> None:
    model, given = opened(), inputs()
    whole = model(**given).logits
    changed = {**given, "crop_values": given["crop_values"].clone()}
    changed["crop_values"][given["crop_mask"] == 0] = 7
    assert torch.equal(model(**changed).logits, whole)
    alone = {name: value[1:, :5] if name != "labels" else value[1:, :2] for name, value in given.items()}
    torch.testing.assert_close(model(**alone).logits, whole[1:, :2], atol=1e-5, rtol=1e-5)
    changed["crop_values"][0, 0] = 255 - changed["crop_values"][0, 0]
    assert not torch.allclose(model(**changed).logits, whole)


def test_generation_takes_crops_and_a_saved_model_has_them(tmp_path: Path) -> None:
    model = opened(text_encoder="skip")
    given = {name: value for name, value in inputs().items() if name != "labels"}
    tokens = model.generate(**given, max_new_tokens=6, num_beams=2)
    model.save_pretrained(tmp_path)
    assert (tmp_path / "hand_crop_encoder.py").is_file()
    loaded = SignToTextForConditionalGeneration.from_pretrained(tmp_path).eval()
    assert torch.equal(loaded.generate(**given, max_new_tokens=6, num_beams=2), tokens)


def test_the_gate_opens_where_only_pictures_tell_clips_apart() -> None:
    model, given = tiny_model(hand_crop_width=4, text_encoder="skip").train(), inputs()
    given["pose_values"] = given["pose_values"][:1].repeat(2, 1, 1, 1)
    given["attention_mask"][:], given["crop_mask"][:] = 1, 1
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(60):
        optimizer.zero_grad()
        loss = model(**given).loss
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1, loss.item()
    assert abs(model.hand_crops.gate.tanh().item()) > 0.02


def test_crops_need_a_pose_encoder() -> None:
    video = VideoEncoderConfig(backbone_config={"model_type": "videomae"})
    with pytest.raises(StrictDataclassClassValidationError, match="hand_crop_width expects a pose encoder"):
        SignToTextConfig(encoder_config=video, text_config=UMT5Config(**T5), hand_crop_width=4)
    with pytest.raises(StrictDataclassClassValidationError, match="multiple of 4"):
        SignToTextConfig(encoder_config={**POSE}, text_config=UMT5Config(**T5), hand_crop_width=3)
