"""PoseProcessor: any form of poses in, padded batches out; saved, loaded and shipped with its code."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoFeatureExtractor, AutoProcessor, PreTrainedTokenizerFast

from slt_hf.errors import ClipError, LandmarkError, PoseFileError, SignDataError
from slt_hf.processing import PoseFeatureExtractor, PoseProcessor
from slt_hf.processing.landmarks import get_layout
from slt_hf.processing.pose_files import PoseClip, PoseWarning, pose_bytes, write_pose

WORDS = ["<pad>", "</s>", "<unk>", "hello", "my", "name", "is"]


def signer(frames: int, layout: str = "holistic_75", fps: float = 25.0) -> PoseClip:
    schema = get_layout(layout)
    points = (
        np.random.default_rng(frames).uniform(200, 400, (frames, schema.num_points, schema.num_axes)).astype(np.float32)
    )
    for name, x in (("left_shoulder", 400), ("right_shoulder", 200)):
        points[:, schema.points.index(name), :2] = x, 250
    for side, x in (("left", 400), ("right", 200)):  # hands at their wrists
        arm = [*schema.parts[f"{side}_hand"], schema.points.index(f"{side}_wrist")]
        points[:, arm, :2] = (points[:, arm, :2] - 300) / 4 + [x, 400]
    return PoseClip(points, np.ones(points.shape[:2], np.float32), layout, fps, 640, 480)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    words = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")


@pytest.fixture
def processor(tokenizer) -> PoseProcessor:
    provenance = {"extractor": "mediapipe", "version": "0.10.21", "model_complexity": 1}
    return PoseProcessor(PoseFeatureExtractor(fps=25, provenance=provenance), tokenizer)


@pytest.fixture
def pose_path(tmp_path):
    write_pose(signer(10), tmp_path / "hello.pose")
    return tmp_path / "hello.pose"


# Forms of input


def test_every_form_of_one_clip_gives_the_same_input(processor, pose_path):
    from pose_format import Pose

    clip, content = signer(10), pose_path.read_bytes()
    with_confidence = np.concatenate([clip.points, clip.confidence[..., None]], axis=-1)
    forms = [
        pose_path,
        str(pose_path),
        content,
        io.BytesIO(content),
        clip,
        Pose.read(content),
        Pose.read(content).torch(),
    ]
    expected = processor(poses=clip)["pose_values"]
    assert expected.shape == (1, 10, 85, 3) and expected.dtype == np.float32
    for form in forms:
        np.testing.assert_allclose(processor(poses=form)["pose_values"], expected, atol=1e-6, err_msg=str(type(form)))
    for array in (
        clip.points,
        clip.points.reshape(10, -1),
        clip.points.astype(np.float64),
        with_confidence,
        torch.from_numpy(clip.points),
        np.ma.masked_array(clip.points, mask=np.zeros_like(clip.points, dtype=bool)),
    ):
        values = processor(poses=array, layout="holistic_75", fps=25)["pose_values"]
        np.testing.assert_allclose(values, expected, atol=1e-6)


def test_a_list_may_mix_forms_layouts_and_rates(processor, pose_path):
    array = signer(12, "coco_wholebody_133", fps=50).points
    batch = processor(
        poses=[pose_path, array], layout=[None, "coco_wholebody_133"], fps=[None, 50], return_tensors="pt"
    )
    assert batch["pose_values"].shape == (2, 10, 85, 3)
    assert batch["attention_mask"].sum(dim=1).tolist() == [10, 6] and batch["attention_mask"].dtype == torch.int64


def test_arrays_mark_what_is_missing_as_nan_zero_mask_or_confidence(processor):
    points = signer(4, "coco_wholebody_133").points
    hand = slice(91, 112)
    lost = []
    for value in (np.nan, 0):
        array = points.copy()
        array[:, hand] = value
        lost.append(array)
    masked = np.ma.masked_array(points, mask=np.zeros_like(points, dtype=bool))
    masked[:, hand] = np.ma.masked
    confidence = np.ones((4, 133, 1), np.float32)
    confidence[:, hand] = 0
    for array in (*lost, masked, np.concatenate([points, confidence], axis=-1)):
        values = processor(poses=array, layout="coco_wholebody_133", fps=25)["pose_values"][0]
        assert not values[:, 11:32].any() and values[:, 32:53, 2].all()


@pytest.mark.parametrize("layout", ["holistic_75", "coco_wholebody_133"])
def test_the_layout_says_whether_the_third_coordinate_is_depth_or_confidence(processor, layout):
    clip = signer(3, layout)
    third = np.full((3, clip.points.shape[1], 1), 0.25, np.float32)
    values = processor(poses=np.concatenate([clip.points[..., :2], third], axis=-1), layout=layout, fps=25)[
        "pose_values"
    ]
    assert np.unique(values[..., 2][values[..., 2] > 0]).tolist() == [1.0 if layout == "holistic_75" else 0.25]


def test_a_time_range_per_clip_or_for_all(processor):
    clips = [signer(50), signer(30)]
    both = processor(poses=clips, start_ms=400, end_ms=800)
    assert both["attention_mask"].sum(axis=1).tolist() == [10, 10]
    each = processor(poses=[pose_bytes(clips[0]), clips[1]], start_ms=[400, None], end_ms=[None, 600])
    assert each["attention_mask"].sum(axis=1).tolist() == [40, 15]
    whole = processor(poses=clips[0])["pose_values"]
    assert each["pose_values"].shape[1] == 40 and whole.shape[1] == 50


def test_a_files_frame_rate_can_be_replaced(processor, pose_path):
    assert processor(poses=pose_path, fps=50)["pose_values"].shape[1] == 5


def test_batch_rows_equal_single_clips_and_padding_is_zero(processor):
    clips = [signer(10), signer(4, "coco_wholebody_133"), signer(7, fps=30)]
    batch = processor(poses=clips)
    for row, clip in enumerate(clips):
        alone = processor(poses=clip)["pose_values"][0]
        np.testing.assert_array_equal(batch["pose_values"][row, : len(alone)], alone)
        assert not batch["pose_values"][row, len(alone) :].any()
        assert batch["attention_mask"][row].tolist() == [1] * len(alone) + [0] * (10 - len(alone))


def test_without_padding_each_clip_keeps_its_length(processor):
    batch = processor(poses=[signer(10), signer(4)], padding=False)
    assert [len(values) for values in batch["pose_values"]] == [10, 4]


# Text


def test_labels_are_padded_with_minus_100(processor):
    batch = processor(poses=[signer(3), signer(3)], text=["hello", "my name is hello"], return_tensors="pt")
    assert batch["labels"].tolist() == [[3, 1, -100, -100, -100], [4, 5, 6, 3, 1]]
    assert processor(text="hello")["labels"].tolist() == [[3, 1]]


def test_labels_are_cut_only_when_asked(processor):
    assert processor(poses=signer(3), text="my name is hello", max_length=2)["labels"].shape == (1, 2)


def test_text_comes_back(processor):
    ids = processor(poses=signer(3), text="my name is hello")["labels"]
    assert processor.batch_decode(ids, skip_special_tokens=True) == ["my name is hello"]
    assert processor.decode(ids[0], skip_special_tokens=True) == "my name is hello"


def test_one_text_for_each_clip(processor):
    with pytest.raises(ClipError, match="2 clips, found 1"):
        processor(poses=[signer(3), signer(3)], text="hello")


def test_the_model_is_not_handed_what_it_does_not_take(processor):
    assert set(processor(poses=signer(3))) == {"pose_values", "attention_mask"}
    assert processor.model_input_names == ["pose_values", "attention_mask"]


def test_generate_takes_the_processors_output_as_it_stands(processor):
    from slt_hf.modeling.configuration_pose_encoder import PoseEncoderConfig
    from slt_hf.modeling.configuration_sign_to_text import SignToTextConfig
    from slt_hf.modeling.modeling_sign_to_text import SignToTextForConditionalGeneration

    text = {"model_type": "t5", "vocab_size": 16, "d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
    encoder = PoseEncoderConfig(hidden_size=32, num_attention_heads=2, num_hidden_layers=1)
    config = SignToTextConfig(encoder_config=encoder.to_dict(), text_config=text)
    model = SignToTextForConditionalGeneration(config).eval()
    ids = model.generate(**processor(poses=[signer(20), signer(12)], return_tensors="pt"), max_new_tokens=3)
    assert ids.shape[0] == 2
    loss = model(**processor(poses=[signer(20)], text="hello", return_tensors="pt")).loss
    assert torch.isfinite(loss)


# Refusals


@pytest.mark.parametrize(
    ("poses", "options", "error", "found"),
    [
        (np.zeros((5, 133, 3)), {"fps": 25}, LandmarkError, "layout='coco_wholebody_133'"),
        (np.zeros((5, 77, 3)), {"fps": 25}, LandmarkError, "pass layout="),
        (np.zeros((5, 133, 3)), {"layout": "coco_wholebody_133"}, ClipError, "fps="),
        (np.zeros((5, 77, 3)), {"layout": "coco_wholebody_133", "fps": 25}, LandmarkError, r"\(5, 77, 3\)"),
        (np.zeros((2, 5, 133, 3)), {"layout": "coco_wholebody_133", "fps": 25}, LandmarkError, "list of clips"),
        (np.zeros(5), {"layout": "coco_wholebody_133", "fps": 25}, LandmarkError, r"\(5,\)"),
        (np.array([["a"]]), {"layout": "hands_42", "fps": 25}, ClipError, "numbers"),
        (np.zeros((0, 133, 3)), {"layout": "coco_wholebody_133", "fps": 25}, ClipError, "at least one frame"),
        (np.zeros((5, 133, 3)), {"layout": "coco_wholebody_133", "fps": 25}, ClipError, "expected a person"),
        (np.zeros((5, 133, 3)), {"layout": "coco_wholebody_133", "fps": 0}, ClipError, "found 0"),
        (signer(5), {"layout": "coco_wholebody_133"}, LandmarkError, "found holistic_75"),
        (signer(5), {"start_ms": 900}, ClipError, "200 ms"),
        (signer(5), {"fps": [25, 25]}, ClipError, "found 2"),
        (b"hello", {}, PoseFileError, "text beginning"),
        ("nowhere.pose", {}, PoseFileError, "found nothing"),
        (42, {}, PoseFileError, "found int"),
        ([], {}, ClipError, "empty list"),
    ],
)
def test_what_cannot_be_understood_is_refused(processor, poses, options, error, found):
    with pytest.raises(error, match=found):
        processor(poses=poses, **options)


def test_neither_poses_nor_text_is_refused(processor):
    with pytest.raises(ClipError, match="neither"):
        processor()


def test_the_bad_clip_of_a_batch_is_named(processor):
    with pytest.raises(SignDataError, match="clip 2 of 3: .*nowhere.pose"):
        processor(poses=[signer(3), "nowhere.pose", signer(3)])


def test_hand_only_clips_are_taken_with_a_warning(processor):
    with pytest.warns(PoseWarning, match="hands"):
        values = processor(poses=np.random.default_rng(0).uniform(0, 1, (9, 42, 3)), layout="hands_42", fps=25)
    assert values["pose_values"][0, :, 11:53, 2].all() and not values["pose_values"][0, :, 53:].any()


# Saving and loading


def test_settings_survive_saving_and_loading(processor, tmp_path):
    options = {
        "layout": "unisign_69",
        "num_coordinates": 4,
        "fps": 30,
        "normalization": "box",
        "max_gap_ms": 80,
        "max_frames": 256,
    }
    PoseProcessor(
        PoseFeatureExtractor(**options, provenance={"extractor": "rtmw"}), processor.tokenizer
    ).save_pretrained(tmp_path)
    loaded = AutoProcessor.from_pretrained(tmp_path)
    assert type(loaded) is PoseProcessor and type(loaded.feature_extractor) is PoseFeatureExtractor
    assert {name: getattr(loaded.feature_extractor, name) for name in options} == options
    assert loaded.feature_extractor.provenance == {"extractor": "rtmw"}
    assert type(AutoFeatureExtractor.from_pretrained(tmp_path)) is PoseFeatureExtractor


def test_saving_again_changes_nothing(processor, tmp_path):
    processor.save_pretrained(tmp_path / "first")
    AutoProcessor.from_pretrained(tmp_path / "first").save_pretrained(tmp_path / "second")
    first, second = (
        json.loads((tmp_path / name / "processor_config.json").read_text()) for name in ("first", "second")
    )
    assert first == second
    assert first["feature_extractor"]["provenance"] == processor.feature_extractor.provenance


def test_a_loaded_processor_gives_the_same_input(processor, tmp_path, pose_path):
    processor.save_pretrained(tmp_path / "saved")
    loaded = AutoProcessor.from_pretrained(tmp_path / "saved")
    np.testing.assert_array_equal(loaded(poses=pose_path)["pose_values"], processor(poses=pose_path)["pose_values"])


def test_the_feature_extractor_can_be_saved_alone(tmp_path):
    PoseFeatureExtractor(fps=30).save_pretrained(tmp_path)
    assert PoseFeatureExtractor.from_pretrained(tmp_path).fps == 30
    assert type(AutoFeatureExtractor.from_pretrained(tmp_path)) is PoseFeatureExtractor


def test_impossible_settings_are_refused_when_they_are_made():
    with pytest.raises(LandmarkError, match="signing_85"):
        PoseFeatureExtractor(layout="signing_86")


def run(code: str, **environment: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env={**os.environ, **environment}
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_the_processor_travels_to_a_python_without_the_package(processor, tmp_path, pose_path):
    processor.save_pretrained(tmp_path / "saved")
    code = (
        "import sys\n"
        "sys.modules['slt_hf'] = None\n"
        "from transformers import AutoProcessor\n"
        f"processor = AutoProcessor.from_pretrained({str(tmp_path / 'saved')!r}, trust_remote_code=True)\n"
        f"values = processor(poses={str(pose_path)!r}, text='hello', return_tensors='pt')['pose_values']\n"
        "print(type(processor).__module__.startswith('transformers_modules'), values.double().abs().sum().item())\n"
    )
    remote, total = run(code, HF_MODULES_CACHE=str(tmp_path / "modules")).split()
    expected = np.abs(processor(poses=pose_path)["pose_values"].astype(np.float64)).sum()
    assert remote == "True" and float(total) == pytest.approx(expected, rel=1e-6)


def test_importing_the_package_first_registers_with_the_auto_classes_too(processor, tmp_path):
    processor.save_pretrained(tmp_path)  # this process imported transformers first
    code = (
        "import slt_hf.processing\n"
        "from transformers import AutoFeatureExtractor, AutoProcessor\n"
        f"print(type(AutoProcessor.from_pretrained({str(tmp_path)!r})).__module__)\n"
        f"print(type(AutoFeatureExtractor.from_pretrained({str(tmp_path)!r})).__module__)\n"
    )
    assert run(code).split() == ["slt_hf.processing.processing_pose", "slt_hf.processing.feature_extraction_pose"]


def test_importing_errors_and_pose_files_loads_neither_torch_nor_transformers():
    code = (
        "import sys, slt_hf.errors, slt_hf.processing.pose_files, slt_hf.processing.pose_transforms\n"
        "print(sorted({'torch', 'transformers', 'pose_format'} & sys.modules.keys()))"
    )
    assert run(code) == "[]"


def test_unknown_names_of_the_package_are_refused():
    import slt_hf.processing

    with pytest.raises(AttributeError, match="PoseProcessor"):
        _ = slt_hf.processing.PoseTransformer


# Real data


def test_all_real_poses_go_through_the_processor(processor, shared_data):
    import warnings

    for path in sorted(shared_data.rglob("*.pose")):
        if "malformed" not in path.parts:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", PoseWarning)
                batch = processor(poses=path)
            values = batch["pose_values"]
            assert values.shape[2:] == (85, 3) and np.isfinite(values).all() and values[..., 2].any(), path
            assert np.abs(values[..., :2]).max() < 16, path


def test_an_export_takes_a_language_for_the_same_token_and_refuses_a_code_that_is_none(tokenizer, tmp_path: Path):
    from slt_hf.export.processor import ExportProcessor

    codes = {"deu": "my", "eng": "<eng>"}
    processor = PoseProcessor(PoseFeatureExtractor(), tokenizer, language_codes=codes)
    processor.save_pretrained(tmp_path)
    exported = ExportProcessor(tmp_path)
    assert [exported.language_token("deu")] == processor.language_tokens(["deu"])
    for ask in (lambda: exported.language_token("eng"), lambda: processor.language_tokens(["eng"])):
        with pytest.raises(ClipError, match="expected a code in language_codes that .* has, found '<eng>'"):
            ask()
