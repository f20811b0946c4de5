"""What a recipe for a vision-language model may say; as in `arguments.py`, every key is a field."""

from dataclasses import dataclass

from trl import SFTConfig

from slt_hf.training.arguments import help_from_docstrings, one_of, parse_mapping
from slt_hf.vlm.quantization import KINDS

# q, k, v and o of the language model's layers, and of nothing that sees
ATTENTION = r".*(language_model|text_model).*\.(q_proj|k_proj|v_proj|o_proj)"


@dataclass
class VlmTrainingArguments(SFTConfig):
    """trl's SFTConfig, of whose data options none is used: our collator reads frames and writes the chat turns."""

    max_length: int | None = None
    """Cutting a turn would cut frames"""
    remove_unused_columns: bool = False
    """The collator reads whole rows"""
    resume: bool = False
    """Go on from the newest checkpoint in output_dir, if there is one"""

    def __post_init__(self) -> None:
        self.dataset_kwargs = {"skip_prepare_dataset": True}
        super().__post_init__()


@dataclass
class VlmModelArguments:
    """What is trained."""

    model_name_or_path: str = "OpenGVLab/InternVL3-2B-hf"
    """An image-text-to-text model (Hub id or folder) that takes several pictures in a turn"""
    quantization: str | None = None
    """`4bit` or `8bit`: the frozen language model in fewer bits (bitsandbytes), trained through LoRA"""
    dtype: str | None = None
    """Precision of the weights: bfloat16, float32; the checkpoint's own by default"""
    lora_r: int = 128
    """Rank of LoRA adapters; 0 trains all weights"""
    lora_alpha: int = 256
    """Scale of the LoRA update (alpha / r)"""
    lora_dropout: float = 0.05
    """Dropout inside LoRA"""
    lora_target_modules: str = ATTENTION
    """Regular expression for the full names of modules that get adapters; the language model's attention by default"""
    merge: bool = False
    """Write the whole model with the adapters merged into it, instead of the adapters alone"""

    def __post_init__(self) -> None:
        one_of("quantization", self.quantization, (None, *KINDS))


@dataclass
class VlmDataArguments:
    """What it is trained on."""

    dataset: list[str] | None = None
    """Manifests with videos (csv, tsv, jsonl, parquet) or Hub ids; several are mixed. One that names no splits is
    divided 8:1:1 within each gloss, or by recording where there are no glosses"""
    dataset_config: str | None = None
    """Configuration of a Hub dataset"""
    train_split: str = "train"
    """Split to learn from"""
    eval_split: str = "dev"
    """Split that chooses the checkpoint; never the test split"""
    split_seed: int = 0
    """Of the division, where the manifest names no splits"""
    target: str = "text"
    """Column to answer with: `text` or `gloss`"""
    prompt: str = "translate"
    """What is asked, by its name in `prompts`: `translate` for sentences, `identify` for isolated signs"""
    prompts: str | None = None
    """YAML file of prompts; the package's own (slt_hf/vlm/prompts.yaml) by default"""
    num_frames: int = 8
    """Frames of each clip, spread evenly over it; each costs 256 tokens of an InternVL3"""
    mirror: float = 0.0
    """Chance of mirroring a training clip"""
    crop: float = 0.0
    """Up to this share of a training clip's width and height is cut away, at a random place"""
    brightness: float = 0.0
    """A training clip is up to this much brighter or darker: 0.4 is a factor from 0.6 to 1.4"""
    contrast: float = 0.0
    """Likewise the distance to middle grey"""
    saturation: float = 0.0
    """Likewise the strength of colours"""
    hue: float = 0.0
    """Colours of a training clip are turned by up to this share of the circle, at most 0.5 either way"""
    max_train_samples: int | None = None
    """Only the first so many training samples (for trying things out)"""
    max_eval_samples: int | None = None
    """Only the first so many evaluation samples"""
    max_new_tokens: int = 64
    """Length of answers in the evaluation after training"""
    card: str | dict | None = None
    """What the model card says beside the measured: data, limits, license, title, summary, language, sign_language"""

    def __post_init__(self) -> None:
        self.card = parse_mapping("card", self.card) or {}
        one_of("target", self.target, ("text", "gloss"))


for _cls in (VlmTrainingArguments, VlmModelArguments, VlmDataArguments):
    help_from_docstrings(_cls)
