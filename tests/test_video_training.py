"""Videos through the trainers, collators and evaluator of the pose path: the scripts, run as a user runs them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_video import make_video
from tiny_checkpoints import VIDEOMAE, WORDS, tiny_tokenizer

torch = pytest.importorskip("torch")

from transformers import VideoMAEConfig, VideoMAEForPreTraining, VideoMAEForVideoClassification  # noqa: E402

from slt_hf import SignClassifier, SignTranslator  # noqa: E402
from slt_hf.data.collator import SignCollator  # noqa: E402
from slt_hf.data.manifest import Sample, write_manifest  # noqa: E402
from slt_hf.errors import ManifestError, RecipeError  # noqa: E402
from slt_hf.processing import VideoFeatureExtractor  # noqa: E402
from slt_hf.training.adapters import add_lora, merge_lora  # noqa: E402
from slt_hf.training.arguments import AugmentationArguments, DataArguments, ModelArguments  # noqa: E402
from slt_hf.training.dataset import open_dataset  # noqa: E402
from slt_hf.training.models import build_classification_model, build_translation_model  # noqa: E402
from slt_hf.training.setup import build_augmentation  # noqa: E402
from slt_hf.training.sign_trainer import learning_rate_multipliers  # noqa: E402

TINY_T5 = {
    "model_type": "t5", "d_model": 32, "d_kv": 8, "num_heads": 4, "d_ff": 32, "num_layers": 1, "dropout_rate": 0.0,
}  # fmt: skip
COMMON: dict[str, Any] = {
    "max_steps": 2, "per_device_train_batch_size": 4, "report_to": "none", "use_cpu": True, "save_strategy": "no",
    "eval_strategy": "steps", "eval_steps": 2, "disable_tqdm": True, "dataloader_pin_memory": False,
    "logging_steps": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def videomae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the kind of MCG-NJU/videomae-base: pretrained by masking, no mean pooling, no classes."""
    folder = tmp_path_factory.mktemp("videomae")
    torch.manual_seed(0)
    sizes = {"decoder_hidden_size": 16, "decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 2}
    config = VideoMAEConfig(**VIDEOMAE, **sizes, decoder_intermediate_size=16, use_mean_pooling=False)
    VideoMAEForPreTraining(config).save_pretrained(folder)
    return folder


COLOURS = [(250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 250)]


def moving_picture(word: int, frames: int) -> np.ndarray:
    """A stripe on black that moves to the right and grows brighter, (T, 48, 48, 3): its colour is the word."""
    pictures = np.zeros((frames, 48, 48, 3), np.float32)
    for number, picture in enumerate(pictures):
        picture[:, number : number + 24] = COLOURS[word]
    return (pictures * np.linspace(0.7, 1, frames)[:, None, None, None]).astype(np.uint8)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight training and four dev clips of four words, two clips to a file, as one manifest of parts of videos."""
    import av

    folder, samples = tmp_path_factory.mktemp("corpus"), []
    for number in range(6):
        words = [(2 * number) % 4, (2 * number + 1) % 4]
        with av.open(str(folder / f"{number}.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.width = stream.height = 48
            stream.pix_fmt = "yuv420p"
            for picture in np.concatenate([moving_picture(word, 20 + number) for word in words]):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode(None))
        length = 40 * (20 + number)
        for part, word in enumerate(words):
            samples.append(
                Sample(
                    id=f"{number}-{part}", video=f"{number}.mp4", start_ms=part * length, end_ms=(part + 1) * length,
                    text=WORDS[word], gloss=WORDS[word].upper(), split="train" if number < 4 else "dev",
                )
            )  # fmt: skip
    write_manifest(samples, folder / "manifest.csv")
    tiny_tokenizer().save_pretrained(folder / "tokenizer")
    return folder


def run(script: str, repository: Path, corpus: Path, output: Path, **options: object) -> Path:
    from test_training_scripts import run as run_poses

    video = {"layout": None, "encoder_config": None, "fps": 12.5}
    return run_poses(script, repository, corpus, output, **{**video, **COMMON, **options})


def sums(batch: dict[str, Any]) -> list[float]:
    return batch["pixel_values"].flatten(1).sum(1).tolist()


def test_training_draws_frames_by_seed_epoch_and_row_and_evaluation_reads_the_same_ones(corpus: Path) -> None:
    rows = open_dataset([str(corpus / "manifest.csv")], "train", fps=12.5)
    extractor = VideoFeatureExtractor(num_frames=4, image_size=16)
    collate = SignCollator(extractor, build_augmentation(AugmentationArguments(), of_videos=True), None, seed=1)
    first = sums(collate([rows[0], rows[1]]))
    assert sums(collate([rows[1], rows[0]])) == first[::-1]  # whatever the batch
    rows.set_epoch(1)
    assert sums(collate([rows[0], rows[1]])) != first
    rows.set_epoch(0)
    assert sums(collate([rows[0], rows[1]])) == first
    fixed = SignCollator(extractor, text_column=None)
    evaluated = sums(fixed([rows[0]]))
    rows.set_epoch(1)
    assert sums(fixed([rows[0]])) == evaluated == sums(dict(extractor(rows[0]["video"], end_ms=rows[0]["end_ms"],
                                                                     return_tensors="pt")))  # fmt: skip


def test_rows_of_the_hub_arrays_and_pictures_are_clips_too(corpus: Path) -> None:
    extractor = VideoFeatureExtractor(num_frames=4, image_size=16)
    collate = SignCollator(extractor, text_column=None)
    path = str(corpus / "0.mp4")
    forms: list[Any] = [path, {"bytes": None, "path": path}, {"bytes": Path(path).read_bytes(), "path": None}]
    assert len({sums(collate([{"video": form}]))[0] for form in forms}) == 1
    pictures = moving_picture(1, 10)
    part = sums(collate([{"video": pictures, "fps": 25.0, "start_ms": 0, "end_ms": 200}]))
    assert part == sums(collate([{"clip": pictures[:5]}]))
    with pytest.raises(ManifestError, match="row 7: expected a video, found none but poses"):
        collate([{"id": 7, "pose": "a.pose"}])


@pytest.mark.parametrize("reader", ["training", "evaluation"])
def test_videos_of_a_hub_data_set_are_read_without_torchcodec(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, reader: str
) -> None:
    import datasets

    from slt_hf.evaluation.rows import open_rows

    row = {"id": "a", "video": {"bytes": (corpus / "0.mp4").read_bytes(), "path": None}, "end_ms": 800.0}
    stored = datasets.Dataset.from_list([row]).cast_column("video", datasets.Video())
    monkeypatch.setattr(datasets, "get_dataset_split_names", lambda *_: ["train"])
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: stored)
    rows: Any = (
        open_dataset(["org/videos"], "train", 12.5) if reader == "training" else open_rows("org/videos", "train")
    )
    collate = SignCollator(VideoFeatureExtractor(num_frames=4, image_size=16), text_column=None)
    assert sums(collate([rows[0]])) == sums(collate([{"video": str(corpus / "0.mp4"), "end_ms": 800.0}]))


def test_lengths_of_videos_come_from_manifest_or_header(corpus: Path, tmp_path: Path) -> None:
    rows = open_dataset([str(corpus / "manifest.csv")], "train", fps=12.5)
    assert rows.lengths.tolist() == [10, 10, 11, 11, 11, 11, 12, 12]  # 20 to 23 frames at 25 fps
    make_video(tmp_path / "a.mp4", frames=50)
    write_manifest([Sample(id="a", video="a.mp4", split="train", text="x")], tmp_path / "m.csv")
    assert open_dataset([str(tmp_path / "m.csv")], "train", fps=12.5).lengths.tolist() == [25]


def test_augmentations_that_a_clip_does_not_have_are_refused() -> None:
    with pytest.raises(RecipeError, match="noise, tempo: expected augmentations of videos"):
        build_augmentation(AugmentationArguments(tempo=0.1, noise=0.1), of_videos=True)
    with pytest.raises(RecipeError, match="crop: expected augmentations of poses"):
        build_augmentation(AugmentationArguments(crop=0.1))


def test_mirror_and_crop_vary_the_picture_and_stay_inside_it() -> None:
    from slt_hf.processing import VideoClip

    vary = build_augmentation(AugmentationArguments(mirror=1.0, crop=0.3), of_videos=True)
    assert vary is not None
    for seed in range(20):
        clip = vary(VideoClip("a.mp4"), np.random.default_rng(seed))
        left, top, right, bottom = clip.box
        assert clip.mirrored and 0 <= left < right <= 1 and 0 <= top < bottom <= 1 and right - left >= 0.7
        assert right - left == pytest.approx(bottom - top)
    assert not vary(VideoClip("a.mp4", mirrored=True), np.random.default_rng(0)).mirrored


def test_a_translation_run_leaves_a_folder_that_translates_videos(
    repository: Path, corpus: Path, videomae: Path, tmp_path: Path
) -> None:
    folder = run(
        "train_translation.py", repository, corpus, tmp_path / "run", encoder=str(videomae), text_config=TINY_T5,
        max_steps=50, eval_steps=50, learning_rate=0.01, lr_scheduler_type="constant", crop=0.05, frames_per_batch=60,
    )  # fmt: skip
    translator = SignTranslator.from_pretrained(folder, device="cpu")
    found = [translator(corpus / "0.mp4", start_ms=800 * part, end_ms=800 * part + 800).text for part in (0, 1)]
    assert found == WORDS[:2]
    predictions = (folder / "predictions" / "step-000050.csv").read_text().splitlines()
    assert predictions[1:] == [
        f"{n}-{p},{WORDS[(2 * n + p) % 4]},{WORDS[(2 * n + p) % 4]}" for n in (4, 5) for p in (0, 1)
    ]
    assert "given as videos" in (folder / "README.md").read_text()


def test_a_classification_run_names_signs_and_says_when_it_does_not_know(
    repository: Path, corpus: Path, videomae: Path, tmp_path: Path
) -> None:
    folder = run(
        "train_isolated_signs.py", repository, corpus, tmp_path / "run", encoder=str(videomae), target="gloss",
        tokenizer=None, class_balanced=True, max_steps=40, eval_steps=40, learning_rate=0.003,
    )  # fmt: skip
    classifier = SignClassifier.from_pretrained(folder, device="cpu")
    assert type(classifier.engine.model).__module__.startswith("transformers.")  # type: ignore[attr-defined]
    answers = classifier([corpus / f"{number}.mp4" for number in (4, 5)], top_k=2, end_ms=900)
    assert [answer.label for answer in answers] == ["WORD0", "WORD2"]
    assert all(len(answer.labels) == 2 for answer in answers)
    assert classifier.labels == [word.upper() for word in WORDS[:4]]
    assert 0 < (classifier.unknown_threshold or 0) < 1
    assert "mrr" in (folder / "dictionary_results.json").read_text().lower()
    assert "4 signs" in (folder / "README.md").read_text()


def test_the_evaluator_reads_the_same_manifest(corpus: Path, tmp_path: Path) -> None:
    from tiny_checkpoints import save_video_classification, save_video_translation

    from slt_hf.evaluation.checkpoint import load_checkpoint, predict
    from slt_hf.evaluation.rows import open_rows

    rows = [*open_rows(str(corpus / "manifest.csv"), "dev"), {"id": "gone", "video": str(tmp_path / "gone.mp4")}]
    for save, cls in ((save_video_translation, SignTranslator), (save_video_classification, SignClassifier)):
        folder = save(tmp_path / save.__name__)
        outputs = [output for _, output in predict(load_checkpoint(str(folder), device="cpu"), rows, batch_size=3)]
        model: Any = cls.from_pretrained(folder, device="cpu")
        answer = model(rows[1]["video"], start_ms=rows[1]["start_ms"], end_ms=rows[1]["end_ms"])
        assert outputs[1].text == (answer.text if cls is SignTranslator else answer.label)
        assert len(outputs) == 5 and "found nothing there" in str(outputs[4].failure)
        assert all(output.failure is None for output in outputs[:4])


def test_the_evaluation_command_scores_a_classifier_of_videos(corpus: Path, tmp_path: Path) -> None:
    from command_line import cli
    from tiny_checkpoints import save_video_classification

    save_video_classification(tmp_path / "model")
    options = {
        "--checkpoint": tmp_path / "model",
        "--data": corpus / "manifest.csv",
        "--split": "dev",
        "--device": "cpu",
    }
    told = [part for pair in {**options, "--json": tmp_path / "report.json", "--samples": 50}.items() for part in pair]
    done = cli("evaluate", *told)
    assert done.exit_code == 0, done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["task"] == "signs" and "top_1" in json.dumps(report)
    refused = cli("evaluate", *told, "--robustness")
    assert refused.exit_code == 2 and "leave --robustness out" in refused.stderr


def test_accumulated_steps_have_the_loss_of_one_large_batch(
    repository: Path, corpus: Path, videomae: Path, tmp_path: Path
) -> None:
    """transformers' VideoMAE takes loss kwargs because its forward takes any; it must use them, too."""
    losses = []
    for accumulated in (1, 4):
        folder = run(
            "train_isolated_signs.py", repository, corpus, tmp_path / str(accumulated), encoder=str(videomae),
            target="gloss", tokenizer=None, max_steps=2, train_sampling_strategy="sequential", eval_strategy="no",
            per_device_train_batch_size=8 // accumulated, gradient_accumulation_steps=accumulated, learning_rate=0.01,
            max_grad_norm=0.0,
        )  # fmt: skip
        log = json.loads((folder / "trainer_state.json").read_text())["log_history"]
        losses.append([entry["loss"] for entry in log if "loss" in entry])
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)
    assert losses[0][0] != losses[0][1]


def build(videomae: Path, **fields: Any) -> Any:
    model = ModelArguments(encoder=str(videomae), text_config=TINY_T5, **fields)
    model.tokenizer = str(videomae)
    tiny_tokenizer().save_pretrained(videomae)
    return build_translation_model(model, DataArguments(fps=12.5))


def test_a_pretrained_videomae_is_taken_over_whole(videomae: Path) -> None:
    pretrained = VideoMAEForPreTraining.from_pretrained(videomae).videomae.state_dict()
    model, processor = build(videomae, encoder_config={"window_stride": 4})
    assert all(torch.equal(model.encoder.backbone.state_dict()[name], value) for name, value in pretrained.items())
    assert model.encoder.config.window_stride == 4
    assert processor.feature_extractor.image_size == 16 and processor.feature_extractor.num_frames is None
    classifier, extractor = build_classification_model(
        ModelArguments(encoder=str(videomae)), DataArguments(), ["A", "B", "C"]
    )
    own = classifier.videomae.state_dict()
    assert all(torch.equal(own[name], value) for name, value in pretrained.items() if not name.startswith("layernorm"))
    assert classifier.config.use_mean_pooling and classifier.config.id2label == {0: "A", 1: "B", 2: "C"}
    assert extractor.num_frames == 8


def test_a_checkpoint_of_other_classes_keeps_all_but_its_head(tmp_path: Path) -> None:
    from tiny_checkpoints import save_video_classification

    save_video_classification(tmp_path)
    arguments = ModelArguments(encoder=str(tmp_path))
    model, _ = build_classification_model(arguments, DataArguments(), ["A", "B"])
    for name, value in VideoMAEForVideoClassification.from_pretrained(tmp_path).state_dict().items():
        assert name.startswith("classifier.") or torch.equal(model.state_dict()[name], value), name
    assert model.classifier.out_features == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"image_size": 32}, "image_size: expected the encoder's 16, found 32"),
     ({"num_frames": 4}, "num_frames: expected the 8 frames that the classifier sees, found 4")],
)  # fmt: skip
def test_settings_that_do_not_fit_the_encoder_are_refused(videomae: Path, settings: Any, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        data = DataArguments(processor_settings=settings)
        build_classification_model(ModelArguments(encoder=str(videomae)), data, ["A", "B"])


def test_layers_learn_more_slowly_the_lower_they_are(videomae: Path) -> None:
    arguments = ModelArguments(layerwise_lr_decay=0.5, encoder_lr_multiplier=0.1)
    model, _ = build(videomae)
    rates = learning_rate_multipliers(model, arguments)
    layer = "encoder.backbone.encoder.layer.{}.attention.attention.query.weight"
    patches = "encoder.backbone.embeddings.patch_embeddings.projection.weight"
    assert [rates[layer.format(1)], rates[layer.format(0)], rates[patches]] == pytest.approx([0.1, 0.05, 0.025])
    classifier, _ = build_classification_model(ModelArguments(encoder=str(videomae)), DataArguments(), ["A", "B"])
    rates = learning_rate_multipliers(classifier, arguments)
    assert rates["classifier.weight"] == 1.0
    assert rates["videomae.encoder.layer.0.output.dense.weight"] == pytest.approx(0.05)
    assert rates["videomae.embeddings.patch_embeddings.projection.weight"] == pytest.approx(0.025)


def test_adapters_on_both_halves_train_alone_and_merge(videomae: Path, tmp_path: Path) -> None:
    parts = ["text_model", "encoder.backbone"]
    arguments = ModelArguments(lora_r=2, lora_parts=parts, lora_dropout=0.0)
    model, _ = build(videomae)
    names = set(model.state_dict())
    adapted = add_lora(model, arguments)
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert {name.split(".")[0] for name in trained} == {"encoder", "projector", "text_model"}
    assert all("lora_" in name or name.startswith(("projector", "encoder.pooling")) for name in trained)
    assert sum(name.startswith("encoder.backbone") for name in trained) > 10
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    inputs = {"pixel_values": torch.rand(1, 6, 3, 16, 16), "labels": torch.tensor([[5, 1]])}
    model.eval()
    with torch.no_grad():
        before = model(**inputs).logits
        merge_lora(adapted, tmp_path)
        torch.testing.assert_close(model(**inputs).logits, before, atol=1e-5, rtol=1e-5)
    assert set(model.state_dict()) == names
    assert all((tmp_path / "adapter" / part / "adapter_config.json").is_file() for part in parts)


def test_unknown_part_for_adapters_is_refused(videomae: Path) -> None:
    model, _ = build(videomae)
    with pytest.raises(RecipeError, match="expected parts of SignToText.* such as encoder, .*found 'vision'"):
        add_lora(model, ModelArguments(lora_r=2, lora_parts=["vision"]))
