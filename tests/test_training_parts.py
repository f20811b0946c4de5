"""The parts that training is made of, one by one."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import nn
from transformers import AutoConfig, AutoModelForSeq2SeqLM

from slt_hf.data.stitching import StitchingSettings, join_clips
from slt_hf.errors import ClipError, RecipeError
from slt_hf.processing import PoseFeatureExtractor, PoseProcessor
from slt_hf.processing.pose_files import PoseClip
from slt_hf.training.arguments import DataArguments, ModelArguments, TranslationTrainingArguments, parse_recipe
from slt_hf.training.classification_trainer import ClassBalancedSampler
from slt_hf.training.models import (
    build_classification_model,
    build_dual_encoder,
    build_translation_model,
    complete_token_ids,
)
from slt_hf.training.sign_trainer import (
    FreezingCallback,
    join_tied_embeddings,
    learning_rate_multipliers,
    refuse_adapters,
    refuse_thawing,
)
from slt_hf.training.translation_trainer import ForcedLanguage, SignTranslationTrainer, TranslationMetrics, collapse


def letter(value: float, frames: int = 10, fps: float = 25.0) -> PoseClip:
    points = np.full((frames, 21, 2), value, np.float32)
    return PoseClip(points, np.ones((frames, 21), np.float32), "hands_21", fps)


def test_recipe_then_command_line(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({"fps": 30, "encoder_config": {"hidden_size": 64}, "dataset": ["a", "b"]}))
    model, data = parse_recipe((ModelArguments, DataArguments), [str(path), "--fps", "50"])
    assert data.fps == 50 and data.dataset == ["a", "b"] and model.encoder_config == {"hidden_size": 64}


def test_one_name_in_a_recipe_is_a_list_of_one(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("dataset: data/shards\nfreeze: encoder\n")
    model, data = parse_recipe((ModelArguments, DataArguments), [str(tmp_path / "recipe.yaml")])
    assert data.dataset == ["data/shards"] and model.freeze == ["encoder"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--fsp", "30"], "did you mean fps"),
        (["--target", "words"], "expected one of text, gloss"),
        (["--encoder_config", "{hidden_size: 3}"], "written as JSON"),
        (["absent.yaml"], "expected a recipe at absent.yaml"),
    ],
)
def test_wrong_options_say_what_to_do(arguments: list[str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse_recipe((ModelArguments, DataArguments), arguments)


@pytest.mark.parametrize(
    "metric, greater", [("eval_wer", False), ("eval_deu_cer", False), ("eval_sign_to_text_median_rank", False),
                        ("eval_loss", False), ("eval_chrf", True), ("eval_top1", True)],
)  # fmt: skip
def test_the_best_error_rate_is_the_lowest(metric: str, greater: bool, tmp_path: Path) -> None:
    options: dict[str, Any] = {"metric_for_best_model": metric, "use_cpu": True, "report_to": "none"}
    assert TranslationTrainingArguments(str(tmp_path), **options).greater_is_better is greater
    stated = TranslationTrainingArguments(str(tmp_path), **options, greater_is_better=not greater)
    assert stated.greater_is_better is not greater, "what a recipe says stands"


def test_every_option_has_help() -> None:
    for cls in (ModelArguments, DataArguments):
        assert all(field.metadata.get("help") for field in cls.__dataclass_fields__.values())


def test_balanced_sampling_draws_every_class_equally_often_and_repeats_with_its_seed() -> None:
    classes = [0] * 90 + [1] * 9 + [2]
    sampler = ClassBalancedSampler(classes, seed=3)
    drawn = list(sampler)
    counts = np.bincount([classes[i] for i in drawn])
    assert len(drawn) == 100 and counts.max() - counts.min() <= 1
    assert drawn == list(ClassBalancedSampler(classes, seed=3))
    sampler.set_epoch(1)
    assert list(sampler) != drawn


def toy_model() -> nn.Module:
    stack = nn.ModuleDict({"encoder": nn.ModuleDict({"layers": nn.ModuleList(nn.Linear(1, 1) for _ in range(3))})})
    stack["text_model"] = nn.ModuleDict({"shared": nn.Embedding(2, 1), "block": nn.ModuleList([nn.Linear(1, 1)] * 1)})
    return stack


def test_lower_layers_learn_more_slowly() -> None:
    rates = learning_rate_multipliers(toy_model(), ModelArguments(layerwise_lr_decay=0.5, encoder_lr_multiplier=4.0))
    assert [rates[f"encoder.layers.{i}.weight"] for i in range(3)] == [1.0, 2.0, 4.0]
    assert rates["text_model.block.0.weight"] == 1.0
    assert rates["text_model.shared.weight"] == 0.125


def test_frozen_parameters_thaw_at_their_epoch() -> None:
    model = toy_model()
    freezing = FreezingCallback(["encoder.layers.0"], {"text_model.": 2})
    freezing.apply(model, epoch=0)
    assert not model["text_model"]["shared"].weight.requires_grad
    freezing.apply(model, epoch=2)
    assert model["text_model"]["shared"].weight.requires_grad
    assert not model["encoder"]["layers"][0].weight.requires_grad
    ranks = FreezingCallback([], {"text_model.": 2}, exchanged=True)
    shared = model["text_model"]["shared"]
    for epoch, gradient in ((0, None), (2, 1.0)):
        model.zero_grad()
        ranks.apply(model, epoch)
        assert shared.weight.requires_grad, "DDP must see it from the start"
        shared(torch.tensor([0, 1])).sum().backward()
        assert shared.weight.grad.sum() == 2 * (gradient or 0), "what ranks exchange"
        ranks.on_pre_optimizer_step(None, None, None)
        assert (shared.weight.grad is None) is (gradient is None), "what the optimizer gets"
    with pytest.raises(RecipeError, match="no parameter starts with"):
        FreezingCallback(["decoder"], {}).apply(model, epoch=0)


def test_each_row_begins_with_its_own_language() -> None:
    forced = ForcedLanguage([7, 9])
    scores = torch.rand(4, 12)  # two beams a row
    first = forced(torch.zeros(4, 1, dtype=torch.long), scores)
    assert first.argmax(-1).tolist() == [7, 7, 9, 9]
    assert forced(torch.zeros(4, 2, dtype=torch.long), scores) is scores


@pytest.fixture(scope="module")
def sentencepiece_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SentencePiece model trained on two lines, with the vocabulary file that M2M100 keeps beside it."""
    sentencepiece = pytest.importorskip("sentencepiece")
    folder = tmp_path_factory.mktemp("pieces")
    (folder / "lines.txt").write_text("hello tree house water\nhallo baum haus wasser\n" * 20)
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "lines.txt"), model_prefix=str(folder / "pieces"), vocab_size=40,
        hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "pieces.model"))
    learned = [pieces.id_to_piece(place) for place in range(3, pieces.get_piece_size())]
    vocabulary = {piece: place for place, piece in enumerate(["<s>", "<pad>", "</s>", "<unk>", *learned])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    return folder


def m2m100_tokenizer(folder: Path) -> Any:
    """M2M100's tokenizer as its checkpoints have it: every language's token is a special one."""
    from transformers import M2M100Tokenizer
    from transformers.models.m2m_100.tokenization_m2m_100 import FAIRSEQ_LANGUAGE_CODES

    special = [f"__{code}__" for code in FAIRSEQ_LANGUAGE_CODES["m2m100"]]
    files = {"vocab_file": str(folder / "vocab.json"), "spm_file": str(folder / "pieces.model")}
    return M2M100Tokenizer(**files, extra_special_tokens=special)


def test_m2m100_is_told_its_language_by_the_token_and_not_by_the_code(
    sentencepiece_folder: Path, tmp_path: Path
) -> None:
    """Its code is `de`, its token `__de__`; the bare code is a piece of text, or unknown."""
    codes = {"eng": "en", "deu": "de"}
    made = PoseProcessor(PoseFeatureExtractor(), m2m100_tokenizer(sentencepiece_folder), language_codes=codes)
    made.save_pretrained(tmp_path)
    for processor in (made, PoseProcessor.from_pretrained(tmp_path)):
        tokenizer = processor.tokenizer
        assert processor.language_tokens(["eng", "deu"]) == [tokenizer.get_lang_id("en"), tokenizer.get_lang_id("de")]
        labels = processor(text=["hello tree", "hallo baum"], language=["eng", "deu"])["labels"]
        assert labels[:, 0].tolist() == processor.language_tokens(["eng", "deu"])
        assert [row[row != -100][-1] for row in labels] == [tokenizer.eos_token_id] * 2
        written = [row[row != -100].tolist() for row in labels]
        assert processor.batch_decode(written, skip_special_tokens=True) == ["hello tree", "hallo baum"]


def test_pegasus_reads_back_what_it_writes(tmp_path: Path) -> None:
    """Its 103 first pieces are for pretraining alone, and it has no start token of its own."""
    from transformers import PegasusTokenizer

    special = [("<pad>", 0.0), ("</s>", 0.0), ("<mask_1>", 0.0), ("<mask_2>", 0.0)]
    special += [*((f"<unk_{place}>", 0.0) for place in range(2, 103)), ("<unk>", 0.0)]
    tokenizer = PegasusTokenizer(vocab=[*special, *((f"▁{word}", -1.0) for word in ("hello", "tree"))])
    PoseProcessor(PoseFeatureExtractor(), tokenizer).save_pretrained(tmp_path)
    processor = PoseProcessor.from_pretrained(tmp_path)
    [labels] = processor(text=["hello tree"])["labels"].tolist()
    assert labels == [106, 107, 1] and processor.batch_decode([[0, *labels]], skip_special_tokens=True) == [
        "hello tree"
    ]
    model = AutoModelForSeq2SeqLM.from_config(AutoConfig.for_model("pegasus", vocab_size=108, d_model=16,
        encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2))  # fmt: skip
    complete_token_ids(model, processor.tokenizer)
    started = model.prepare_decoder_input_ids_from_labels(torch.tensor([labels]))
    assert started.tolist() == [[0, 106, 107]], "it begins with the padding token"


def test_a_code_that_the_tokenizer_lacks_is_refused() -> None:
    processor = PoseProcessor(PoseFeatureExtractor(), tokenizer_of("mbart50"), language_codes={"deu": "de"})
    with pytest.raises(ClipError, match="MBart50Tokenizer has, found 'de'"):
        processor.language_tokens(["deu"])


def tokenizer_of(kind: str) -> Any:
    """A tokenizer of a few words, which knows German and English by a code each."""
    from tiny_checkpoints import tiny_tokenizer
    from transformers import MBart50Tokenizer, NllbTokenizer

    words = ["<s>", "<pad>", "</s>", "<unk>", "▁hello", "▁", "h"]
    if kind == "mbart50":
        return MBart50Tokenizer(vocab=[(word, -float(place > 3)) for place, word in enumerate(words)])
    if kind == "nllb":
        return NllbTokenizer(vocab={word: place for place, word in enumerate(words)}, merges=[])
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<eng>", "<deu>"]})
    return tokenizer


@pytest.mark.parametrize(
    "kind, codes",
    [
        ("mbart50", {"eng": "en_XX", "deu": "de_DE"}),
        ("nllb", {"eng": "eng_Latn", "deu": "deu_Latn"}),
        ("plain", {"eng": "<eng>", "deu": "<deu>"}),
    ],
)
def test_targets_begin_with_the_code_that_generation_will_force(kind: str, codes: dict[str, str]) -> None:
    tokenizer = tokenizer_of(kind)
    processor = PoseProcessor(PoseFeatureExtractor(), tokenizer, language_codes=codes)
    clips = [PoseClip(np.ones((4, 85, 2), np.float32), np.ones((4, 85), np.float32), "signing_85", 25.0)] * 2
    labels = processor(clips, text=["h", "h"], language=["eng", "deu"], return_tensors="pt")["labels"]
    assert labels[:, 0].tolist() == processor.language_tokens(["eng", "deu"])
    assert labels[:, 1:].tolist() == [labels[0, 1:].tolist()] * 2 and tokenizer.eos_token_id in labels[0].tolist()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"text_model": "t5"}, "lora_r above 0"),
        ({"text_config": {"model_type": "t5"}, "lora_r": 4}, "a text_model to load in few bits"),
        ({"text_model": "bert", "decoder_model": "gpt2", "lora_r": 4}, "two halves"),
        ({"text_model": "t5", "lora_r": 4}, "bitsandbytes.*slt_hf.quantization"),
    ],
)
@pytest.mark.parametrize("bits", ["8bit", "4bit"])
def test_few_bits_are_refused_where_they_cannot_be_had(
    bits: str, options: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slt_hf.training.models.find_spec", lambda name: None)  # as where it is not installed
    with pytest.raises(RecipeError, match=message):
        build_translation_model(ModelArguments(quantization=bits, **options), DataArguments())


def test_few_bits_are_for_text_models_alone() -> None:
    few = ModelArguments(quantization="4bit", lora_r=4, text_model="t5")
    with pytest.raises(RecipeError, match="found isolated signs"):
        build_classification_model(few, DataArguments(), ["a"])
    with pytest.raises(RecipeError, match="found the contrastive stage"):
        build_dual_encoder(few, DataArguments())


@pytest.mark.parametrize("name", ["t5", "mbart"])
def test_joining_tied_embeddings_changes_no_logits(name: str) -> None:
    small = {"d_model": 16, "vocab_size": 20, "scale_embedding": True}
    layers = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    fields = {"t5": {"d_kv": 8, "num_heads": 2, "num_layers": 1, "d_ff": 16}, "mbart": layers}[name]
    model = AutoModelForSeq2SeqLM.from_config(AutoConfig.for_model(name, **small, **fields)).eval()
    tokens = {"input_ids": torch.arange(2, 8)[None], "decoder_input_ids": torch.arange(2, 6)[None]}
    before = model(**tokens).logits
    join_tied_embeddings(model)
    assert sum(isinstance(module, nn.Embedding) and len(module.weight) == 20 for module in model.modules()) == 1
    torch.testing.assert_close(model(**tokens).logits, before, atol=0, rtol=0)


def test_adapters_are_refused_on_shards() -> None:
    with pytest.raises(RecipeError, match=r"ddp\.yaml"):
        refuse_adapters(ModelArguments(lora_r=4))


def test_what_would_never_thaw_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"fsdp2\.yaml"):
        refuse_thawing(ModelArguments(unfreeze_at_epoch={"text_model.": 1}))


def test_a_batch_without_languages_is_not_told_those_of_the_batch_before(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[bool] = []
    monkeypatch.setattr(
        "transformers.Seq2SeqTrainer.prediction_step", lambda self, *_, **__: told.append(bool(self._gen_kwargs))
    )
    trainer = object.__new__(SignTranslationTrainer)
    trainer.accelerator, trainer._gen_kwargs = SimpleNamespace(unwrap_model=lambda model: model), {}
    model = SimpleNamespace(can_generate=lambda: True)
    for inputs in ({"forced_bos_token_id": [3, 4]}, {}):
        trainer.prediction_step(model, inputs, prediction_loss_only=False)
    assert told == [True, False]


def test_ctc_paths_collapse() -> None:
    assert collapse(np.array([0, 3, 3, 0, 3, 5, 5, 0]), blank=0) == [3, 3, 5]


def test_scores_are_given_per_language() -> None:
    metrics = TranslationMetrics(
        decode=lambda ids: ["a", "b", "x", "repeated for the second rank"],
        references=["a", "b", "c"],
        languages=["deu", "deu", "eng"],
        score=lambda hypotheses, references: {
            "right": float(np.mean([h == r for h, r in zip(hypotheses, references, strict=True)]))
        },
    )
    scores = metrics(SimpleNamespace(predictions=np.zeros((4, 1)), label_ids=None))
    assert scores == {"right": pytest.approx(2 / 3), "deu_right": 1.0, "eng_right": 0.0}


def test_joined_clips_last_as_long_as_their_parts() -> None:
    joined = join_clips([letter(1, 10, 25), letter(2, 20, 50)], StitchingSettings(fps=25))
    assert joined.num_frames == 20 and joined.points[9].max() == 1 and joined.points[10].min() == 2
    glided = join_clips([letter(0), letter(2)], StitchingSettings(fps=25, transition_ms=120))
    assert glided.num_frames == 23 and glided.points[11, 0, 0] == pytest.approx(1.0)


def test_accelerate_reads_its_configs(repository: Path) -> None:
    from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file

    configs = sorted((repository / "scripts" / "accelerate").glob("*.yaml"))
    assert len(configs) >= 3
    for path in configs:
        assert isinstance(load_config_from_file(str(path)), ClusterConfig), path
