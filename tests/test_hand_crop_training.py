"""Hand crops from manifest to translation: learned through the script, used by every door, in shards and on the Hub."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from command_line import cli  # noqa: E402
from test_hand_crops import HEIGHT, WIDTH, clip_of, make_film  # noqa: E402
from test_training_scripts import TINY_ENCODER, TINY_T5, WORDS  # noqa: E402
from test_training_scripts import run as run_script  # noqa: E402

from slt_hf import SignTranslator  # noqa: E402
from slt_hf.data.collator import SignCollator  # noqa: E402
from slt_hf.data.ledger import Ledger  # noqa: E402
from slt_hf.data.manifest import Sample, write_manifest  # noqa: E402
from slt_hf.data.preparation_plan import load_plan  # noqa: E402
from slt_hf.data.ready import ReadyInputs  # noqa: E402
from slt_hf.data.storage import ShardDataset  # noqa: E402
from slt_hf.errors import ClipError, ExportError, ManifestError, RecipeError  # noqa: E402
from slt_hf.evaluation.checkpoint import load_checkpoint, predict  # noqa: E402
from slt_hf.evaluation.robustness import CONDITIONS  # noqa: E402
from slt_hf.evaluation.rows import open_rows  # noqa: E402
from slt_hf.processing.pose_clip import PoseWarning  # noqa: E402
from slt_hf.processing.pose_files import read_pose, write_pose  # noqa: E402
from slt_hf.training.word_tokenizer import train_word_tokenizer  # noqa: E402

COLOURS = [(230, 30, 30), (30, 230, 30), (30, 30, 230), (200, 200, 200)]  # of the hands: the word that is signed
RECIPE: dict[str, Any] = {
    "layout": "signing_85", "fps": 12.5, "text_config": TINY_T5, "encoder_config": TINY_ENCODER,
    "hand_crop_width": 4, "hand_crop_size": 16, "learning_rate": 0.003, "lr_scheduler_type": "constant",
}  # fmt: skip


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four words whose poses are one and the same, and whose videos are not."""
    folder = tmp_path_factory.mktemp("corpus")
    samples = []
    for split in ("train", "dev"):
        for word, colour in zip(WORDS, COLOURS, strict=True):
            name = f"{word}-{split}"
            write_pose(clip_of(12), folder / f"{name}.pose")
            film = np.zeros((12, HEIGHT, WIDTH, 3), np.uint8) + np.array(colour, np.uint8)
            make_film(folder / f"{name}.mp4", film=film)
            samples.append(Sample(id=name, pose=f"{name}.pose", video=f"{name}.mp4", text=word, split=split))
    write_manifest(samples, folder / "manifest.csv")
    train_word_tokenizer(WORDS, min_count=1).save_pretrained(folder / "tokenizer")
    return folder


def train(repository: Path, corpus: Path, output: Path, **options: Any) -> Path:
    return run_script("train_translation.py", repository, corpus, output, **{**RECIPE, **options})


@pytest.fixture(scope="module")
def checkpoint(repository: Path, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(repository, corpus, tmp_path_factory.mktemp("run"), max_steps=80, eval_steps=80)


def poses_and_videos(corpus: Path, split: str = "train") -> tuple[list[str], list[str]]:
    return [str(corpus / f"{w}-{split}.pose") for w in WORDS], [str(corpus / f"{w}-{split}.mp4") for w in WORDS]


def test_a_run_through_the_script_learns_what_only_crops_can_tell(checkpoint: Path, corpus: Path) -> None:
    translator = SignTranslator.from_pretrained(checkpoint, device="cpu")
    poses, videos = poses_and_videos(corpus)
    found = translator(poses, video=videos)
    assert [answer.text for answer in found] == WORDS
    gate = translator.engine.model.hand_crops.gate  # type: ignore[attr-defined]
    assert abs(gate.tanh().item()) > 0.1
    with pytest.warns(PoseWarning, match="landmarks alone"):
        assert len({answer.text for answer in translator(poses)}) == 1
    model, processor = translator.engine.model, translator.processor  # type: ignore[attr-defined]
    by_hand = model.generate(**processor(poses=poses, video=videos, return_tensors="pt"), max_new_tokens=8)
    assert [text.strip() for text in processor.batch_decode(by_hand, skip_special_tokens=True)] == WORDS
    grounded = translator(poses[0], video=videos[0], grounding=True)
    assert grounded.text == WORDS[0] and grounded.grounding > 0.05, "without pictures nothing tells the words apart"
    config = json.loads((checkpoint / "processor_config.json").read_text())["feature_extractor"]
    assert config["hand_crop_size"] == 16 and (checkpoint / "hand_crop_encoder.py").is_file()
    assert (checkpoint / "hand_crops.py").is_file()


def test_evaluation_gives_what_the_translator_gives(checkpoint: Path, corpus: Path) -> None:
    evaluated = load_checkpoint(str(checkpoint), device="cpu")
    outputs = [output for _, output in predict(evaluated, open_rows(str(corpus / "manifest.csv"), "dev"))]
    assert [output.text for output in outputs] == WORDS
    poses, videos = poses_and_videos(corpus, "dev")
    found = SignTranslator.from_pretrained(checkpoint, device="cpu")(poses, video=videos)
    assert [output.confidence for output in outputs] == pytest.approx([answer.confidence for answer in found])


def test_rows_without_video_are_refused_in_training(repository: Path, corpus: Path, tmp_path: Path) -> None:
    rows = [Sample(id="a1", pose=str(corpus / f"{WORDS[0]}-train.pose"), text=WORDS[0], split=s) for s in ("train",)]
    write_manifest([*rows, Sample(id="a2", pose=rows[0].pose, text=WORDS[0], split="dev")], tmp_path / "poses.csv")
    with pytest.raises(ManifestError, match="row a1: expected poses and the video .* found poses alone"):
        train(repository, corpus, tmp_path / "run", dataset=[str(tmp_path / "poses.csv")])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bone_length": 0.1}, "bone_length: expected augmentations that a picture of a hand can follow"),
        ({"stitching": {"dataset": ["x"]}}, "found joined clips"),
        ({"dataset": ["synthetic"]}, "found the synthetic signer"),
        ({"head": "ctc", "text_config": None}, "expected none for head: ctc"),
        ({"hand_crop_width": None}, "expected none for a model without hand_crop_width, found 16"),
    ],
)
def test_what_crops_cannot_follow_is_refused(
    repository: Path, corpus: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        train(repository, corpus, tmp_path / "run", **options)


@pytest.fixture(scope="module")
def shards(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    done = cli("prepare", corpus / "manifest.csv", "--output", folder, "--workers", 1, "--hand-crops", 32)
    assert done.exit_code == 0, done.stderr
    return folder


def test_prepared_crops_are_what_the_videos_show(checkpoint: Path, corpus: Path, shards: Path) -> None:
    processor = SignTranslator.from_pretrained(checkpoint, device="cpu").processor
    read = [SignCollator(processor)([dict(row) for row in open_rows(data, "train")])
            for data in (str(corpus / "manifest.csv"), str(shards))]  # fmt: skip
    assert torch.equal(read[0]["crop_mask"], read[1]["crop_mask"]) and read[0]["crop_mask"].all()
    difference = (read[0]["crop_values"].int() - read[1]["crop_values"].int()).abs()
    assert difference.max() < 12, "by JPEG alone"
    assert "`hands`" in (shards / "README.md").read_text()
    with pytest.raises(ManifestError, match="expected a processor of poses alone"):
        ReadyInputs(ShardDataset(shards, "train"), processor)


def test_a_model_learns_from_prepared_crops_and_is_evaluated_on_them(
    repository: Path, corpus: Path, shards: Path, checkpoint: Path, tmp_path: Path
) -> None:
    folder = train(repository, corpus, tmp_path / "run", dataset=[str(shards)], mirror=0.5, tempo=0.1)
    assert SignTranslator.from_pretrained(folder, device="cpu").engine.model.hand_crops.gate.item() != 0  # type: ignore[attr-defined]
    outputs = predict(load_checkpoint(str(checkpoint), device="cpu"), open_rows(str(shards), "dev"))
    assert [output.text for _, output in outputs] == WORDS


def test_preparation_says_where_videos_are_missing_and_refuses_odd_sizes(corpus: Path, tmp_path: Path) -> None:
    pose = str(corpus / f"{WORDS[0]}-train.pose")
    write_manifest(
        [Sample(id="a", pose=pose, text="a"), Sample(id="b", pose=pose, video="gone.mp4", text="b")],
        tmp_path / "manifest.csv",
    )
    command = ("prepare", tmp_path / "manifest.csv", "--output", tmp_path / "shards", "--workers", 1, "--hand-crops")
    assert cli(*command, 32).exit_code == 0
    with Ledger(load_plan(tmp_path / "shards").ledger_path) as ledger:
        told = {name: (entry.status, entry.reason) for name, entry in ledger.entries().items()}
    assert {status for status, _ in told.values()} == {"missing"}
    assert "found poses alone" in str(told["a"][1]) and "gone.mp4, where there is nothing" in str(told["b"][1])
    done = cli(*command, 40)
    assert done.exit_code == 2 and "expected a multiple of 16 pixels" in done.stderr


def test_disturbed_poses_are_tried_with_disturbed_crops(checkpoint: Path, corpus: Path) -> None:
    evaluated, rows = load_checkpoint(str(checkpoint), device="cpu"), open_rows(str(corpus / "manifest.csv"), "dev")
    for name in ("mirrored", "tempo_1.5", "10_fps", "no_face"):
        assert [output.text for _, output in predict(evaluated, rows, disturbance=CONDITIONS[name])] == WORDS, name
    clip = CONDITIONS["hand_hidden"](evaluated_clip(corpus), np.random.default_rng(0))
    assert np.isnan(clip.hands.middles[:, 0]).all() and np.isfinite(clip.hands.middles[:, 1]).all()  # type: ignore[union-attr]


def evaluated_clip(corpus: Path) -> Any:
    from slt_hf.evaluation.checkpoint import read_row

    return read_row(open_rows(str(corpus / "manifest.csv"), "dev")[0], crops=True)


def test_the_command_takes_the_video_beside_the_poses(checkpoint: Path, corpus: Path, tmp_path: Path) -> None:
    model = ("--model", checkpoint, "--device", "cpu")
    poses, videos = poses_and_videos(corpus, "dev")
    for place in range(2):
        shutil.copy(poses[place], tmp_path / f"clip{place}.pose")
        shutil.copy(videos[place], tmp_path / f"clip{place}.mp4")
    lines = cli("translate", tmp_path, *model).stdout.splitlines()
    assert [json.loads(line)["translation"] for line in lines] == WORDS[:2]
    assert cli("translate", poses[0], "--video", videos[2], *model).stdout.startswith(WORDS[2])
    (tmp_path / "videos").mkdir()
    done = cli("translate", poses[0], "--video", tmp_path / "videos", *model)
    assert done.exit_code == 2 and "expected a video of its name" in done.stderr
    done = cli("translate", poses[0], "--video", videos[0])
    assert done.exit_code == 2 and "looks at no crops of hands" in done.stderr


def test_graphs_of_a_model_with_crops_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    from slt_hf.export.exporting import export_checkpoint

    with pytest.raises(ExportError, match="looks at crops of the hands"):
        export_checkpoint(checkpoint, tmp_path / "export")


def test_info_tells_of_crops(checkpoint: Path) -> None:
    assert json.loads(cli("info", checkpoint, "--json").stdout)["hand_crop_size"] == 16
    assert "hand_crop_size" not in json.loads(cli("info", "bundled", "--json").stdout)


def test_a_video_is_refused_where_no_crops_are_made(corpus: Path) -> None:
    poses, videos = poses_and_videos(corpus)
    with pytest.raises(ClipError, match="expected clips alone"):
        SignTranslator.from_pretrained(device="cpu")(poses[0], video=videos[0])


def test_a_trained_checkpoint_without_crops_may_get_them(repository: Path, corpus: Path, tmp_path: Path) -> None:
    plain = train(repository, corpus, tmp_path / "plain", hand_crop_width=None, hand_crop_size=None)
    assert "hand_crop_size" not in (plain / "processor_config.json").read_text()
    more = {"text_config": None, "encoder_config": None, "tokenizer": None, "model_name_or_path": str(plain)}
    fused = train(repository, corpus, tmp_path / "fused", **more, learning_rate=0.0)
    poses, videos = poses_and_videos(corpus)
    one, other = (SignTranslator.from_pretrained(folder, device="cpu") for folder in (plain, fused))
    expected = one(poses)
    assert [answer.confidence for answer in other(poses, video=videos)] == [each.confidence for each in expected]
    with pytest.raises(RecipeError, match="expected the checkpoint's own 4, found 8"):
        train(repository, corpus, tmp_path / "wider", **{**more, "model_name_or_path": str(fused)}, hand_crop_width=8)


def test_gate_and_frozen_parts_learn_at_rates_of_their_own(repository: Path, corpus: Path, tmp_path: Path) -> None:
    from slt_hf.training.arguments import ModelArguments
    from slt_hf.training.sign_trainer import learning_rate_multipliers

    folder = train(
        repository, corpus, tmp_path / "run", freeze=["hand_crops.layers"], mirror=0.5, tempo=0.1, rotation=5.0
    )
    model = SignTranslator.from_pretrained(folder, device="cpu").engine.model  # type: ignore[attr-defined]
    rates = learning_rate_multipliers(model, ModelArguments(encoder_lr_multiplier=2.0, hand_crop_gate_lr_multiplier=20))
    assert rates["hand_crops.gate"] == 40 and rates["hand_crops.project.weight"] == 2
    assert model.hand_crops.gate.item() != 0


@pytest.mark.slow
def test_a_stopped_run_goes_on_to_the_same_weights(repository: Path, corpus: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    options: dict[str, Any] = {"save_strategy": "steps", "save_steps": 2, "eval_steps": 4, "mirror": 0.5}
    whole = train(repository, corpus, tmp_path / "whole", max_steps=4, **options)
    part = train(repository, corpus, tmp_path / "part", max_steps=4, **options)
    shutil.rmtree(part / "checkpoint-4")
    resumed = train(repository, corpus, tmp_path / "part", max_steps=4, resume=True, **options)
    first, second = (load_file(folder / "model.safetensors") for folder in (whole, resumed))
    assert all(torch.equal(first[name], second[name]) for name in first) and "hand_crops.gate" in first
    assert first["hand_crops.gate"].item() != 0


@pytest.mark.slow
@pytest.mark.parametrize("sharded", [False, True])
def test_two_processes_learn_what_one_learns(repository: Path, corpus: Path, tmp_path: Path, sharded: bool) -> None:
    from safetensors.numpy import load_file
    from test_distributed_training import SETTINGS, accelerate_environment, launch

    script = repository / "scripts" / "train_translation.py"
    config = repository / "scripts" / "accelerate" / "fsdp2.yaml"
    data = {"dataset": [str(corpus / "manifest.csv")], "tokenizer": str(corpus / "tokenizer")}
    options = SETTINGS | RECIPE | data | {"learning_rate": 0.05, "hand_crop_gate_lr_multiplier": 100.0}
    losses, weights = {}, {}
    for processes in (1, 2):
        environment = accelerate_environment(config) if sharded and processes == 2 else None
        batch = {"per_device_train_batch_size": 4 // processes}
        log = launch(script, tmp_path / str(processes), processes, environment, **options | batch)
        losses[processes] = [step["loss"] for step in log]
        weights[processes] = load_file(tmp_path / str(processes) / "model.safetensors")
    np.testing.assert_allclose(losses[2], losses[1], atol=1e-5)
    assert abs(weights[1]["hand_crops.gate"].item()) > 1e-3
    for name, value in weights[1].items():
        np.testing.assert_allclose(weights[2][name], value, atol=1e-5, err_msg=name)


def test_processors_without_crops_are_saved_as_before(tmp_path: Path) -> None:
    from slt_hf.checkpoint import bundled_checkpoint, load_processor

    load_processor(bundled_checkpoint()).save_pretrained(tmp_path)
    ours, saved = (json.loads((f / "processor_config.json").read_text()) for f in (bundled_checkpoint(), tmp_path))
    saved.pop("auto_map", None), saved["feature_extractor"].pop("auto_map", None)
    assert saved == ours


def test_a_clip_that_was_cut_still_finds_its_hands(checkpoint: Path, corpus: Path) -> None:
    translator = SignTranslator.from_pretrained(checkpoint, device="cpu")
    poses, videos = poses_and_videos(corpus)
    part: dict[str, Any] = {"start_ms": 160, "end_ms": 400}
    given = translator(poses[1], video=videos[1], **part)
    assert given.text == WORDS[1]
    assert translator(read_pose(poses[1]), video=videos[1], **part).confidence == given.confidence
