"""The video recipes at their own size, with random weights: one training step, one answer, and what memory they take.

    python benchmarks/full_size.py --output results/full_size.json
    python benchmarks/full_size.py --recipe i3d_wlasl

Each recipe goes through its script as it is, but for what it would fetch: a VideoMAE-base (as it was pretrained),
umT5-small (its head untied), T5-base or I3D (of Kinetics' 400 classes) of the same sizes is made from its config, saved
and loaded; a made-up clip takes the place of the corpus. One step on one clip, on the CPU, in float32. Memory is the
process' peak of resident pages, Python and torch (half a gigabyte) included; a step's seconds include reading the clip.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import runpy
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import yaml

ROOT = Path(__file__).resolve().parents[1]
RECIPES: dict[str, tuple[str, str | None]] = {  # what is made for each in the place of its encoder and text model
    "videomae_seq2seq_umt5": ("videomae", "umt5"),
    "videomae_seq2seq_lora": ("videomae", "t5"),
    "videomae_islr_asl_citizen": ("videomae", None),
    "i3d_wlasl": ("i3d", None),
}
CLASSES = {"videomae_islr_asl_citizen": 2731, "i3d_wlasl": 2000}
ONE_STEP = {
    "max_steps": 1, "per_device_train_batch_size": 1, "gradient_accumulation_steps": 1, "dataloader_num_workers": 0,
    "bf16": False, "use_cpu": True, "eval_strategy": "no", "save_strategy": "no", "load_best_model_at_end": False,
    "max_eval_samples": 1, "disable_tqdm": True, "dataloader_pin_memory": False, "logging_steps": 1, "warmup_steps": 0,
    "early_stopping_evaluations": None, "class_balanced": False,
    "unfreeze_at_epoch": None,  # what is frozen at first learns from the first step: the most that is ever held
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", choices=list(RECIPES), action="append", help="only this one; repeat for more")
    parser.add_argument("--output", type=Path, help="JSON file, to which the results are added")
    parser.add_argument("--answer", type=Path, nargs=2, help=argparse.SUPPRESS)  # in the child: checkpoint and clip
    parser.add_argument("--train", nargs=2, help=argparse.SUPPRESS)  # in the child: a script and its recipe
    parser.add_argument("--make", nargs=2, help=argparse.SUPPRESS)  # in the child: a model's name and its folder
    options = parser.parse_args()
    if options.make:
        make_model(*options.make)
        return
    if options.train:
        train(*options.train)
        return
    if options.answer:
        print(json.dumps(answer(*options.answer)))
        return
    report: dict[str, Any] = {}
    if options.output is not None and options.output.is_file():
        report = json.loads(options.output.read_text())
    for name in options.recipe or RECIPES:
        with tempfile.TemporaryDirectory() as folder:
            found = {"command": f"python {' '.join([os.path.relpath(sys.argv[0]), *sys.argv[1:]])}"}
            found |= measure(name, Path(folder))
        print(name, json.dumps(found), flush=True)
        report.setdefault("recipes", {})[name] = found
        if options.output is not None:
            options.output.write_text(json.dumps(report, indent=2) + "\n")


def measure(name: str, folder: Path) -> dict[str, Any]:
    """One recipe: a step through its script, then an answer of what that left."""
    make_corpus(folder, CLASSES.get(name, 2))
    recipe = yaml.safe_load((ROOT / "scripts" / "recipes" / f"{name}.yaml").read_text())
    encoder, text = RECIPES[name]
    child([__file__, "--make", encoder, str(folder / "encoder")])
    recipe |= ONE_STEP | {"dataset": [str(folder / "manifest.csv")], "output_dir": str(folder / "run")}
    recipe["encoder"] = str(folder / "encoder")
    if text is not None:
        child([__file__, "--make", text, str(folder / "text")])
        recipe |= {"text_model": str(folder / "text"), "tokenizer": str(folder / "tokenizer")}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    script = "train_isolated_signs.py" if text is None else "train_translation.py"
    trained = child([__file__, "--train", str(ROOT / "scripts" / script), str(folder / "recipe.yaml")])
    state = json.loads((folder / "run" / "trainer_state.json").read_text())
    step = next(entry["train_runtime"] for entry in state["log_history"] if "train_runtime" in entry)
    used = child([__file__, "--answer", str(folder / "run"), str(folder / "clip.mp4")])
    return {
        "step_s": round(step, 1), "training_gb": trained["gb"], "training_cpu_s": trained["cpu_s"],
        **json.loads(used["said"].splitlines()[-1]), "use_gb": used["gb"], "use_cpu_s": used["cpu_s"],
        "classes": CLASSES.get(name),
        "threads": os.environ.get("OMP_NUM_THREADS", str(os.cpu_count())),
        "load_average": round(os.getloadavg()[1], 1),
    }  # fmt: skip


def train(script: str, recipe: str) -> None:
    """Run a script; of isolated signs without its dictionary, for which it would look at the clips of all classes."""
    from slt_hf.training.classification_trainer import SignClassificationTrainer

    SignClassificationTrainer.dictionary_metrics = lambda *_: {}  # type: ignore[method-assign]
    sys.argv = [script, recipe]
    sys.path.insert(0, str(Path(script).parent))
    runpy.run_path(script, run_name="__main__")


def child(command: list[str]) -> dict[str, Any]:
    """A Python of its own: what it printed, its peak of memory and its processor seconds."""
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen([sys.executable, *command], stdout=said)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} ended with code {process.returncode}")
        said.seek(0)
        told = said.read()
    gigabytes = round((usage.ru_maxrss << 10) / 1e9, 2)  # Linux counts in kB
    return {"said": told, "gb": gigabytes, "cpu_s": round(usage.ru_utime + usage.ru_stime)}


def answer(checkpoint: Path, clip: Path) -> dict[str, Any]:
    """Seconds of one translation or classification by the finished folder, its parameters and what it was shown."""
    from slt_hf import SignClassifier, SignTranslator
    from slt_hf.pipeline import names_signs

    cls: Any = SignClassifier if names_signs(checkpoint) else SignTranslator
    model = cls.from_pretrained(checkpoint, device="cpu")
    length = {} if cls is SignClassifier else {"max_new_tokens": 16, "min_new_tokens": 16, "num_beams": 1}
    shown = model.processor(str(clip), return_tensors="pt")["pixel_values"].shape
    began = time.perf_counter()
    model(str(clip), **length)
    return {"answer_s": round(time.perf_counter() - began, 1), "new_tokens": length.get("max_new_tokens"),
            "parameters": model.engine.model.num_parameters(), "shown": list(shown)}  # fmt: skip


def make_model(name: str, folder: str) -> None:
    """A checkpoint as it lies on the Hub, of random weights."""
    import torch
    from transformers import (
        T5Config,
        T5ForConditionalGeneration,
        UMT5Config,
        UMT5ForConditionalGeneration,
        VideoMAEConfig,
        VideoMAEForPreTraining,
    )

    from slt_hf.convert_i3d import i3d_extractor
    from slt_hf.modeling import I3DConfig, I3DForVideoClassification
    from slt_hf.modeling.text_models import untie_head

    torch.manual_seed(0)
    if name == "videomae":
        VideoMAEForPreTraining(VideoMAEConfig()).save_pretrained(folder)  # the defaults are VideoMAE-base's
    elif name == "i3d":
        model = I3DForVideoClassification(I3DConfig(num_labels=400))  # 64 frames of 224 pixels
        model.save_pretrained(folder)
        i3d_extractor(model.config).save_pretrained(folder)
    elif name == "umt5":
        sizes = {"d_model": 512, "d_ff": 1024, "num_layers": 8, "num_decoder_layers": 8, "num_heads": 6}
        umt5 = UMT5ForConditionalGeneration(UMT5Config(vocab_size=256384, decoder_start_token_id=0, **sizes))
        untie_head(umt5)
        torch.nn.init.normal_(umt5.lm_head.weight)
        umt5.save_pretrained(folder)
    else:
        sizes = {"d_model": 768, "d_ff": 3072, "num_layers": 12, "num_decoder_layers": 12, "num_heads": 12}
        t5 = T5ForConditionalGeneration(T5Config(vocab_size=32128, decoder_start_token_id=0, **sizes))
        t5.save_pretrained(folder)


def make_corpus(folder: Path, classes: int) -> None:
    """One clip that stands for every row of a manifest: so many glosses, and one of them in dev."""
    from slt_hf.training.word_tokenizer import train_word_tokenizer

    rng = np.random.default_rng(0)
    with av.open(str(folder / "clip.mp4"), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 256, "yuv420p"
        for _ in range(32):  # 1.28 s: a window of 16 frames at 12.5 a second
            image = rng.integers(0, 256, (16, 20, 3), dtype=np.uint8).repeat(16, 0).repeat(16, 1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "video", "num_frames", "fps", "text", "gloss", "split"])
        for row in range(classes + 1):
            gloss, split = f"SIGN{row % classes}", "train" if row < classes else "dev"
            writer.writerow([row, "clip.mp4", 32, 25, "a short sentence of signing", gloss, split])
    train_word_tokenizer(["a short sentence of signing"], min_count=1).save_pretrained(folder / "tokenizer")


if __name__ == "__main__":
    main()
