"""What a recipe may say, and how recipe and command line come together.

A recipe is a flat YAML file; every key is a field of `ModelArguments`, `DataArguments`, `AugmentationArguments` or of
transformers' training arguments. The command line wins over the recipe; an unknown key is an error.
"""

import difflib
import json
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml
from transformers import HfArgumentParser, Seq2SeqTrainingArguments, TrainingArguments

from slt_hf.errors import RecipeError
from slt_hf.processing.pose_augmentation import AugmentationSettings

LOWER_IS_BETTER = ("loss", "wer", "cer", "median_rank")


@dataclass
class SignTrainingArguments(TrainingArguments):
    """transformers' TrainingArguments with what sign language data needs."""

    remove_unused_columns: bool = False
    """The collator reads whole rows, so columns stay"""
    resume: bool = False
    """Go on from the newest checkpoint in output_dir, or on the Hub, if there is one"""
    restore_callback_states_from_checkpoint: bool = True
    """A resumed run goes on counting evaluations without a better one, where early stopping was"""

    def __post_init__(self) -> None:
        stated: Any = self.greater_is_better  # type: ignore[has-type]
        if stated is None and (self.metric_for_best_model or "").endswith(LOWER_IS_BETTER):
            self.greater_is_better = False  # the Trainer knows it of losses alone, and would keep the worst checkpoint
        super().__post_init__()


@dataclass
class TranslationTrainingArguments(SignTrainingArguments, Seq2SeqTrainingArguments):
    """Options of the translation stage."""

    predict_with_generate: bool = True
    """Evaluation writes texts and scores them"""


@dataclass
class ContrastiveTrainingArguments(SignTrainingArguments):
    """Options of the contrastive stage."""

    chunk_size: int = 64
    """Clips encoded at a time; memory depends on this, not on the batch size"""
    dataloader_drop_last: bool = True
    """A smaller last batch would have easier negatives"""


@dataclass
class ModelArguments:
    """What is trained."""

    model_name_or_path: str | None = None
    """A checkpoint of ours to go on from (Hub id or folder); without it a model is built from the fields below"""
    encoder: str | None = None
    """Encoder to start from: a checkpoint of ours of any stage, or a VideoMAE such as MCG-NJU/videomae-base (for
    isolated signs also an I3D, which `slt-hf convert-i3d` makes), with which the model sees frames of videos; without
    it one is made from `encoder_config`"""
    encoder_config: str | dict | None = None
    """Fields of PoseEncoderConfig that differ from the default, as a mapping (JSON on the command line); with
    `model_type: videomae` those of VideoMAEConfig, with slt_i3d, or an I3D as `encoder`, those of I3DConfig. With a
    VideoMAE as `encoder`: fields of VideoEncoderConfig"""
    text_model: str | None = None
    """Sequence-to-sequence model that writes the text, e.g. google/umt5-small; its pretrained head is kept"""
    text_config: str | dict | None = None
    """Instead of `text_model`: a config (with `model_type`) of a text model that starts from random weights"""
    decoder_model: str | None = None
    """With `text_model` as encoder: a causal decoder such as gpt2; the two become an EncoderDecoderModel"""
    tokenizer: str | None = None
    """Tokenizer; the text model's own by default"""
    text_encoder: str = "use"
    """`use`: sign features pass through the text encoder; `skip`: they go straight to the decoder's cross-attention"""
    head: str = "attention"
    """How text comes out: `attention` (a decoder) or `ctc` (a monotonic output per frame, for glosses and spelling)"""
    attn_implementation: str | None = None
    """eager, sdpa, flash_attention_2 …; the model's own choice by default"""
    dtype: str | None = None
    """Precision of the weights: float32, bfloat16; float32 by default"""
    quantization: str | None = None
    """`8bit` or `4bit`: the frozen text model in fewer bits (bitsandbytes), trained through LoRA"""
    lora_r: int = 0
    """Rank of LoRA adapters; 0 trains all weights"""
    lora_alpha: int = 32
    """Scale of the LoRA update (alpha / r)"""
    lora_dropout: float = 0.05
    """Dropout inside LoRA"""
    lora_target_modules: list[str] | None = None
    """Modules that get adapters; peft's own choice for the type of each part by default"""
    lora_parts: list[str] | None = None
    """Parts of the model that get adapters and are else frozen: `text_model` by default; `text_model encoder.backbone`
    with a VideoMAE as encoder, `videomae` for isolated signs"""
    freeze: list[str] | None = None
    """Prefixes of parameter names that are not trained, e.g. text_model.shared encoder"""
    unfreeze_at_epoch: str | dict | None = None
    """Prefix -> epoch from which it is trained again, as a mapping (JSON on the command line)"""
    layerwise_lr_decay: float = 1.0
    """Each layer below the top learns at this fraction of the rate of the one above (1: all the same)"""
    encoder_lr_multiplier: float = 1.0
    """The pose encoder's and projector's learning rate, as a multiple of the text model's"""
    hand_crop_width: int | None = None
    """Channels of an image encoder for crops of the hands beside the poses, such as 16 (a multiple of 4); rows then
    need a video beside their poses, or the crops that `slt-hf prepare --hand-crops` cuts. Without it poses alone, or
    what `model_name_or_path` has"""
    hand_crop_gate_lr_multiplier: float = 20.0
    """Learning rate of the gate before those crops, as a multiple of theirs: they learn through it alone"""
    model_seed: int = 0
    """Seed of freshly made weights"""

    def __post_init__(self) -> None:
        self.encoder_config = parse_mapping("encoder_config", self.encoder_config)
        self.text_config = parse_mapping("text_config", self.text_config)
        self.unfreeze_at_epoch = parse_mapping("unfreeze_at_epoch", self.unfreeze_at_epoch)
        one_of("text_encoder", self.text_encoder, ("use", "skip"))
        one_of("head", self.head, ("attention", "ctc"))
        one_of("dtype", self.dtype, (None, "float32", "bfloat16"))
        one_of("quantization", self.quantization, (None, "8bit", "4bit"))


@dataclass
class DataArguments:
    """What it is trained on."""

    dataset: list[str] | None = None
    """Hub ids, folders of shards, manifests (csv, tsv, jsonl, parquet) or `synthetic`; several are mixed"""
    dataset_config: str | None = None
    """Configuration of a Hub dataset"""
    train_split: str = "train"
    """Split to learn from"""
    eval_split: str = "dev"
    """Split that chooses the checkpoint; never the test split"""
    eval_dataset: list[str] | None = None
    """Where `eval_split` is taken from; `dataset` by default"""
    target: str = "text"
    """Column to produce: `text` or `gloss`"""
    layout: str = "signing_85"
    """Landmarks that the model sees (processing/landmarks.py)"""
    fps: float = 25.0
    """Frame rate that every clip is resampled to, or that frames of videos are read at"""
    normalization: str = "shoulders"
    """shoulders, box, max, hands or none (processing/pose_transforms.py)"""
    processor: str | None = None
    """Processor to take over (Hub id or folder); with it layout, fps and normalization come from there"""
    processor_settings: str | dict | None = None
    """Further fields of PoseFeatureExtractor or VideoFeatureExtractor, as a mapping (JSON on the command line)"""
    hand_crop_size: int | None = None
    """Pixels of a crop's side, with `hand_crop_width`; 48, or the processor's own, by default"""
    prompt: str | None = None
    """Words put before the signing, with {language} and {sign_language} filled from the sample"""
    language_codes: str | dict | None = None
    """Language of a sample -> the tokenizer's code, e.g. {deu: de_DE}, for mBART, M2M100 and NLLB"""
    max_frames: int | None = None
    """Clips with more frames than this, at their own rate, are left out of training, never out of evaluation"""
    max_target_tokens: int = 128
    """Targets are cut here in training; the number cut is logged"""
    frames_per_batch: int | None = None
    """Batches hold as many clips as fit in this many padded frames; without it, per_device_train_batch_size clips"""
    max_train_samples: int | None = None
    """Only the first so many training samples (for trying things out)"""
    max_eval_samples: int | None = None
    """Only the first so many evaluation samples"""
    synthetic_samples: int = 10000
    """Sentences per epoch of the synthetic signer; fresh ones each epoch"""
    stitching: str | dict | None = None
    """Sentences joined from isolated clips, learned from beside `dataset` or instead of it, as a mapping; its keys are
    the fields of StitchingRecipe (slt_hf/training/stitched.py)"""
    label_ngrams: str | None = None
    """CTC: a file of words or sentences, one a line, whose label sequences a search prefers (slt_hf/label_ngrams.py)"""
    variants_per_clip: int | None = None
    """Isolated signs: vary and process each clip this many times and reuse the results over the epochs; by default each
    epoch makes its own, which costs more than training a small encoder does"""
    class_balanced: bool = False
    """Isolated signs: draw every class equally often"""
    answer_precision: float = 0.9
    """Isolated signs: below the probability at which this share of dev answers is right, a sign counts as unknown"""
    predictions_format: str = "csv"
    """What the model said at each evaluation is written into predictions/ as csv, tsv, jsonl or parquet"""
    early_stopping_evaluations: int | None = None
    """Stop after so many evaluations without a better metric_for_best_model"""
    card: str | dict | None = None
    """What the model card says beside the measured: data, limits, license, title, summary, language, sign_language"""

    def __post_init__(self) -> None:
        self.processor_settings = parse_mapping("processor_settings", self.processor_settings) or {}
        self.language_codes = parse_mapping("language_codes", self.language_codes)
        self.stitching = parse_mapping("stitching", self.stitching)
        self.card = parse_mapping("card", self.card) or {}
        one_of("target", self.target, ("text", "gloss"))
        one_of("predictions_format", self.predictions_format, ("csv", "tsv", "jsonl", "parquet"))


@dataclass(frozen=True)
class AugmentationArguments(AugmentationSettings):
    """How training clips are varied (FIELD: what paid in logged ablations); all zero leaves poses as they are.

    Of videos, the frames' times are always drawn anew; `mirror` and the fields below are the further ones.
    """

    crop: float = 0.0
    """Videos: up to this share of the picture's width and height is cut away, at a random place"""
    brightness: float = 0.0
    """Videos: all frames of a clip are up to this much brighter or darker: 0.4 is a factor from 0.6 to 1.4"""
    contrast: float = 0.0
    """Videos: likewise the distance to middle grey"""
    saturation: float = 0.0
    """Videos: likewise the strength of colours"""
    hue: float = 0.0
    """Videos: colours are turned by up to this share of the circle, at most 0.5 either way"""


def parse_mapping(name: str, value: str | dict | None) -> dict | None:
    """A mapping from a recipe as it is, from the command line as JSON."""
    if value is None or isinstance(value, dict):
        return value
    try:
        parsed = json.loads(value)
    except json.JSONDecodeError as error:
        raise RecipeError(
            f"{name}: expected a mapping written as JSON, found {value!r} ({error}); quote it as one word"
        ) from error
    if not isinstance(parsed, dict):
        raise RecipeError(f'{name}: expected a mapping, found {value!r}; write it as {{"key": value}}')
    return parsed


def mapping(value: str | dict | None) -> dict[str, Any]:
    """A mapping field as a mapping; empty where the recipe leaves it out."""
    return value if isinstance(value, dict) else {}


def one_of(name: str, value: str | None, choices: tuple[str | None, ...]) -> None:
    if value not in choices:
        raise RecipeError(
            f"{name}: expected one of {', '.join(map(str, choices))}, found {value!r}; correct the recipe"
        )


def help_from_docstrings(cls: type) -> type:
    """Give each field the docstring below it as `--help` text, so that it is written once."""
    import ast
    import inspect

    body = ast.parse(inspect.getsource(cls)).body[0].body  # type: ignore[attr-defined]
    for statement, following in zip(body, body[1:], strict=False):
        documented = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
        if isinstance(statement, ast.AnnAssign) and documented:
            cls.__dataclass_fields__[statement.target.id].metadata = {"help": following.value.value}  # type: ignore
    return cls


for _cls in (
    ModelArguments,
    DataArguments,
    AugmentationSettings,
    AugmentationArguments,
    SignTrainingArguments,
    TranslationTrainingArguments,
    ContrastiveTrainingArguments,
):
    help_from_docstrings(_cls)


def parse_recipe(classes: tuple[type, ...], argv: list[str] | None = None) -> tuple[Any, ...]:
    """Dataclass instances from `[RECIPE.yaml] [--option value …]`.

    Args:
        classes: the dataclasses that a script understands.
        argv: the command line without the program's name; that of this process by default.

    Returns:
        One instance per class.

    Raises:
        RecipeError: if the recipe cannot be read, or recipe or command line name something unknown.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    parser = HfArgumentParser(classes, allow_abbrev=False)
    for action in parser._actions:
        if action.type is dict:  # read as JSON by the dataclass, which says what is wrong
            action.type = str
    if argv and not argv[0].startswith("-"):
        recipe = read_recipe(Path(argv.pop(0)))
        known = {f.name for cls in classes for f in fields(cls) if f.init}
        for key in recipe:
            if key not in known:
                raise RecipeError(f"unknown key {key!r} in the recipe; {closest(key, known)}")
        for action in parser._actions:  # argparse takes defaults as they are: a word would be a list of its letters
            if action.nargs == "+" and isinstance(recipe.get(action.dest), str):
                recipe[action.dest] = [recipe[action.dest]]
        parser.set_defaults(**recipe)
        for action in parser._actions:
            action.required = action.required and action.dest not in recipe
    *instances, unknown = parser.parse_args_into_dataclasses(
        argv, return_remaining_strings=True, look_for_args_file=False
    )
    if unknown:
        known = {f.name for cls in classes for f in fields(cls) if f.init}
        raise RecipeError(f"unknown option {unknown[0]!r}; {closest(unknown[0].lstrip('-'), known)}")
    return tuple(instances)


def read_recipe(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file."""
    try:
        recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"expected a recipe at {path}, but {error.strerror}; see scripts/recipes") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"{path}: expected YAML, found {' '.join(str(error).split())}; correct the file") from error
    if not isinstance(recipe, dict):
        raise RecipeError(f"{path}: expected `key: value` lines, found {type(recipe).__name__}; see scripts/recipes")
    return recipe


def closest(name: str, known: set[str]) -> str:
    """What to write instead of an unknown name."""
    near = difflib.get_close_matches(name, known, n=3)
    return f"did you mean {', '.join(near)}?" if near else "run the script with --help for the names"
