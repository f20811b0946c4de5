"""Checkpoints that see frames, pushed to a Hub and used there by people who have never heard of slt_hf."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from test_video import make_video
from tiny_checkpoints import save_video_classification, save_video_translation

pytest.importorskip("torch")

from slt_hf import SignClassifier, SignTranslator  # noqa: E402
from slt_hf.convert_i3d import i3d_extractor  # noqa: E402
from slt_hf.hub import push_folder  # noqa: E402
from slt_hf.modeling import I3DConfig, I3DForVideoClassification  # noqa: E402

FACTS = {"license": "cc-by-4.0", "data": "Made-up clips.", "limits": "Knows nothing."}

ELSEWHERE = """
import sys, torch
from transformers import AutoFeatureExtractor, AutoModelForSeq2SeqLM, AutoModelForVideoClassification, AutoProcessor

processor = AutoProcessor.from_pretrained("somebody/translates", trust_remote_code=True)
model = AutoModelForSeq2SeqLM.from_pretrained("somebody/translates", trust_remote_code=True).eval()
tokens = model.generate(**processor(videos=sys.argv[1], return_tensors="pt"), max_new_tokens=8)
print("text", processor.batch_decode(tokens, skip_special_tokens=True)[0].strip())

processor = AutoProcessor.from_pretrained("somebody/names", trust_remote_code=True)
assert type(processor) is type(AutoFeatureExtractor.from_pretrained("somebody/names", trust_remote_code=True))
model = AutoModelForVideoClassification.from_pretrained("somebody/names").eval()  # needs no code of ours
logits = model(**processor(videos=sys.argv[1], return_tensors="pt")).logits
print("sign", model.config.id2label[logits.argmax(-1).item()], round(logits.softmax(-1).max().item(), 4))

processor = AutoProcessor.from_pretrained("somebody/i3d", trust_remote_code=True)
model = AutoModelForVideoClassification.from_pretrained("somebody/i3d", trust_remote_code=True).eval()
logits = model(**processor(videos=sys.argv[1], return_tensors="pt")).logits
print("i3d", model.config.id2label[logits.argmax(-1).item()], round(logits.softmax(-1).max().item(), 4))
assert not [name for name in sys.modules if name.startswith("slt_hf.")]
"""


def save_i3d(folder: Path) -> Path:
    """As converted from WLASL's code: squashed pictures, the highest answer over time."""
    import torch

    torch.manual_seed(0)
    size = {"width_multiplier": 0.06, "image_size": 32, "num_frames": 24}
    config = I3DConfig(id2label={0: "BOOK", 1: "DRINK", 2: "GO"}, time_pooling="max", **size)
    I3DForVideoClassification(config).eval().save_pretrained(folder)
    i3d_extractor(config, fit="squash").save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_checkpoints_that_see_frames_travel_by_the_hub(
    hub_server: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hub_server.stand_in(monkeypatch)
    video = make_video(tmp_path / "clip.mp4", frames=30)
    names = ((save_video_translation, "translates"), (save_video_classification, "names"), (save_i3d, "i3d"))
    for save, name in names:
        folder = save(tmp_path / name)
        (folder / "card.yaml").write_text(yaml.safe_dump(FACTS))
        push_folder(folder, f"somebody/{name}")
    printed = hub_server.python(ELSEWHERE, str(video), without=["slt_hf"]).splitlines()
    translation = SignTranslator.from_pretrained("somebody/translates", device="cpu")(video, max_new_tokens=8)
    answer, second = (
        SignClassifier.from_pretrained(f"somebody/{name}", device="cpu")(video) for name in ("names", "i3d")
    )
    assert printed[-3:] == [
        f"text {translation.text}",
        f"sign {answer.label} {round(answer.confidence, 4)}",
        f"i3d {second.label} {round(second.confidence, 4)}",
    ]
