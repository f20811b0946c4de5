"""Every kind of model exports and passes its gate: tiny configs, real classes, the gate's own inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from tiny_checkpoints import SIZES, WORDS, save_classification, save_recognition

from slt_hf import SignClassifier, SignTranslator, bundled_checkpoint
from slt_hf.demonstration import sign_unseen
from slt_hf.evaluation.text_metrics import score_text
from slt_hf.export.engines import OnnxCTC, OnnxStreamEncoder
from slt_hf.export.exporting import ExportSettings, export_checkpoint, write_manifest
from slt_hf.export.folder import ExportFolder
from slt_hf.export.gate import refuse_failures, run_gate
from slt_hf.export.gate_cases import LENGTHS, Case, random_clips
from slt_hf.export.graph_writer import write_graphs
from slt_hf.export.graphs import graph_specs
from slt_hf.label_ngrams import LabelNgrams
from slt_hf.modeling import (
    PoseEncoderConfig,
    PoseEncoderForCTC,
    PoseEncoderForSignClassification,
    PoseEncoderModel,
    SignTextDualEncoderConfig,
    SignTextDualEncoderModel,
    SignToTextConfig,
    SignToTextForConditionalGeneration,
)
from slt_hf.processing.pose_files import write_pose
from slt_hf.synthesis.synthesizer import synthesize

pytestmark = pytest.mark.slow

VOCABULARY = 60
T5: dict[str, Any] = {
    "vocab_size": VOCABULARY, "d_model": 32, "d_kv": 8, "num_heads": 2, "d_ff": 32, "num_layers": 2,
    "num_decoder_layers": 2, "decoder_start_token_id": 0, "initializer_factor": 3.0,
}  # fmt: skip
BART: dict[str, Any] = {
    "vocab_size": VOCABULARY, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "max_position_embeddings": 512,
    "init_std": 0.4, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 2,
}  # fmt: skip
TEXT_MODELS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "t5": ("t5", T5, {}),
    "t5 with its own head": ("t5", T5 | {"tie_word_embeddings": False}, {}),
    "umt5": ("umt5", T5, {}),
    "mt5": ("mt5", T5, {}),
    "bart": ("bart", BART, {"forced_eos_token_id": 2, "no_repeat_ngram_size": 3}),
    "mbart": ("mbart", BART, {"forced_bos_token_id": 9}),
    "m2m100": ("m2m_100", BART, {"forced_bos_token_id": 9}),
    "nllb": ("m2m_100", BART | {"scale_embedding": True}, {"forced_bos_token_id": 9}),
    "pegasus": ("pegasus", BART, {"num_beams": 2, "length_penalty": 0.8}),
}


def held_against_pytorch(model: Any, folder: Path, prompt: int = 0) -> ExportFolder:
    """Export a model that lies in no folder, and send it through the gate with random clips."""
    model.eval().config.save_pretrained(folder)
    if model.can_generate():
        model.generation_config.save_pretrained(folder)
    write_manifest(folder, type(model).__name__, write_graphs(graph_specs(model, prompt > 0), folder), "float32")
    export = ExportFolder.open(folder)
    config = getattr(model.config, "encoder_config", model.config)
    refuse_failures(run_gate(model, export, random_cases(config, prompt)))
    return export


def random_cases(config: Any, prompt: int) -> list[Case]:
    cases = []
    for lengths in LENGTHS:
        inputs: dict[str, Any] = dict(random_clips(lengths, config.num_landmarks, config.num_coordinates, sum(lengths)))
        if prompt:
            ids = np.random.default_rng(0).integers(3, VOCABULARY, (len(lengths), prompt))
            mask = np.ones_like(ids)
            mask[0, 0] = len(lengths) == 1  # shorter prompts are padded on the left
            inputs |= {"prompt_input_ids": ids, "prompt_attention_mask": mask}
        cases.append(Case(f"{lengths} frames", inputs))
    return cases


def translator(text: str, values: dict[str, Any], text_encoder: str = "use", **encoder: Any) -> Any:
    from transformers import AutoConfig

    torch.manual_seed(0)
    pose = PoseEncoderConfig(**SIZES | {"frame_encoder": "shape", "shape_hidden_size": 16} | encoder)
    text_config = AutoConfig.for_model(text, **values)
    config = SignToTextConfig(
        encoder_config=pose.to_dict(), text_config=text_config.to_dict(), text_encoder=text_encoder,
        text_head_tied=values.get("tie_word_embeddings", True),
    )  # fmt: skip
    return SignToTextForConditionalGeneration(config)


@pytest.mark.parametrize("name", TEXT_MODELS)
def test_every_text_model_passes_its_gate(tmp_path: Path, name: str):
    text, values, generation = TEXT_MODELS[name]
    model = translator(text, values)
    for option, value in generation.items():
        setattr(model.generation_config, option, value)
    held_against_pytorch(model, tmp_path)


def test_a_prompted_translator_passes_its_gate(tmp_path: Path):
    held_against_pytorch(translator("t5", T5), tmp_path, prompt=4)


def test_a_streaming_translator_passes_its_gate_and_its_stream_keeps_a_state_of_one_size(tmp_path: Path):
    config = translator("t5", T5, chunk_frames=8, attention_window=8, conv_kernel_size=5).config
    config.ctc_vocab_size = 7
    torch.manual_seed(0)
    model = SignToTextForConditionalGeneration(config)
    export = held_against_pytorch(model, tmp_path)
    assert set(export.graphs) == {"encoder", "decoder", "stream", "bridge"}
    stream = OnnxStreamEncoder(export, "cpu")
    state = stream.initial_state(3)
    poses = random_clips((16, 16, 16), 85, 3, seed=0)["pose_values"]
    mask = np.ones((3, 8), np.int64)
    _, _, first = stream.chunk(poses[:, :8], mask, state)
    _, _, second = stream.chunk(poses[:, 8:], mask, first)
    found = stream.run(poses[:, :8], mask, state)  # by which live guesses know what is new, and idle hands are told
    assert found["labels"].shape == found["certainty"].shape and found["labels"].shape[0] == 3
    assert {name: value.shape for name, value in second.items()} == {n: v.shape for n, v in state.items()}


def test_a_translator_with_ctc_compression_passes_its_gate(tmp_path: Path):
    model = translator("t5", T5)
    config = model.config
    config.ctc_vocab_size, config.ctc_compression = 7, True
    torch.manual_seed(3)
    model = SignToTextForConditionalGeneration(config)
    torch.nn.init.normal_(model.ctc_head.weight, std=1.0)  # so that runs of labels differ
    held_against_pytorch(model, tmp_path)


def test_a_dual_encoder_passes_its_gate(tmp_path: Path):
    from transformers import AutoConfig

    torch.manual_seed(0)
    pose = PoseEncoderConfig(**SIZES)
    text = AutoConfig.for_model("umt5", **T5)
    config = SignTextDualEncoderConfig(encoder_config=pose.to_dict(), text_config=text.to_dict(), projection_dim=16)
    held_against_pytorch(SignTextDualEncoderModel(config), tmp_path)


ENCODERS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "every frame a step": {"stride": 1, "num_coordinates": 4},
    "narrow": {"attention_window": 2, "conv_kernel_size": 3},
    "a stream": {"chunk_frames": 8, "attention_window": 8},
    "a stream of one step a chunk": {"chunk_frames": 4, "stride": 4, "attention_window": 4, "frame_encoder": "shape"},
}


@pytest.mark.parametrize("name", ENCODERS)
def test_a_bare_encoder_passes_its_gate(tmp_path: Path, name: str):
    torch.manual_seed(0)
    export = held_against_pytorch(PoseEncoderModel(PoseEncoderConfig(**SIZES | ENCODERS[name])), tmp_path)
    assert set(export.graphs) == {"encoder"} | ({"stream"} if "stream" in name else set())


@pytest.mark.parametrize("architecture", [PoseEncoderForCTC, PoseEncoderForSignClassification])
def test_heads_over_a_stream_pass_their_gate(tmp_path: Path, architecture: Any):
    torch.manual_seed(0)
    stream = {"chunk_frames": 8, "attention_window": 8, "conv_kernel_size": 5}
    config = PoseEncoderConfig(**SIZES | stream, vocab_size=VOCABULARY, pad_token_id=0, num_labels=7)
    assert set(held_against_pytorch(architecture(config), tmp_path).graphs) == {"encoder", "stream"}


def test_a_recogniser_exports_with_its_language_model(tmp_path: Path):
    source = save_recognition(tmp_path / "source")
    sequences = [[3 + (start + step) % len(WORDS) for step in range(5)] for start in range(20)]
    LabelNgrams.count(sequences, 3 + len(WORDS), order=3).save(source)
    folder = export_checkpoint(source, tmp_path / "graphs")
    write_pose(synthesize("My name is Nora."), tmp_path / "clip.pose")
    ours, theirs = (SignTranslator.from_pretrained(each, device="cpu") for each in (folder, source))
    assert isinstance(ours.engine, OnnxCTC) and ours.engine.language_model is not None
    found, expected = (each(tmp_path / "clip.pose") for each in (ours, theirs))
    assert found.text == expected.text and found.confidence == pytest.approx(expected.confidence, abs=1e-3)


def test_a_classifier_exports_with_its_labels(tmp_path: Path):
    source = save_classification(tmp_path / "source", unknown_threshold=0.9)
    folder = export_checkpoint(source, tmp_path / "graphs")
    write_pose(synthesize("My name is Nora."), tmp_path / "clip.pose")
    ours, theirs = (SignClassifier.from_pretrained(each, device="cpu") for each in (folder, source))
    found, expected = (each(tmp_path / "clip.pose") for each in (ours, theirs))
    assert [label for label, _ in found.labels] == [label for label, _ in expected.labels]
    assert found.known == expected.known is False


def test_the_bundled_checkpoint_exports_and_reads_what_it_read(tmp_path: Path, shared_data: Path):
    from slt_hf.evaluation.run import EvaluationArguments, run_evaluation

    clips = sorted(shared_data.glob("poses/pose_format/*.pose"))[:3]
    settings = ExportSettings(clips=tuple(clips), data="synthetic", split="test", limit=20)
    folder = export_checkpoint(bundled_checkpoint(), tmp_path / "graphs", settings)
    reports = [
        run_evaluation(EvaluationArguments(checkpoint=str(each), data="synthetic", limit=20, device="cpu", samples=20))
        for each in (bundled_checkpoint(), folder)
    ]
    scores = [{name: entry["score"] for name, entry in report["scores"].items()} for report in reports if report]
    assert scores[0] == scores[1]
    assert f"{scores[1]['bleu_4']:.2f}" in (folder / "README.md").read_text()
    assert scores_of_unseen_sentences(folder) == scores_on_the_card()


def scores_of_unseen_sentences(folder: Path) -> dict[str, float]:
    """As `scripts/train_bundled_checkpoint.py` measures the checkpoint."""
    drawn = [sign_unseen(seed=seed) for seed in range(200)]
    found = SignTranslator.from_pretrained(folder, device="cpu")([clip for _, clip, _ in drawn], batch_size=16)
    names = ["exact_match", "bleu_4", "chrf", "wer"]
    scores = score_text([each.text for each in found], [text for text, _, _ in drawn], names=names)
    return {name: round(value, 2) for name, value in scores.items()}


def scores_on_the_card() -> dict[str, float]:
    metrics = yaml.safe_load((bundled_checkpoint() / "card.yaml").read_text())["metrics"]
    return {each["name"]: each["value"] for each in metrics if each["dataset"] == "synthetic sentences, clean clips"}


def test_an_int8_export_of_the_bundled_checkpoint_passes_its_gate(tmp_path: Path):
    settings = ExportSettings(target="onnx-int8", data="synthetic", split="dev", limit=40)
    folder = export_checkpoint(bundled_checkpoint(), tmp_path / "graphs", settings)
    assert "points of bleu_4 that int8 loses" in (folder / "README.md").read_text()


def test_the_opset_is_the_one_asked_for(tmp_path: Path):
    onnx = pytest.importorskip("onnx")
    torch.manual_seed(0)
    model = PoseEncoderModel(PoseEncoderConfig(**SIZES)).eval()
    write_graphs(graph_specs(model), tmp_path, opset=18)
    assert onnx.load(tmp_path / "encoder.onnx", load_external_data=False).opset_import[0].version == 18
