"""A checkpoint with crops of hands, pushed to a Hub and used there by people who have never heard of slt_hf."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from test_hand_crops import clip_of, make_film
from tiny_checkpoints import SIZES, WORDS, tiny_tokenizer

torch = pytest.importorskip("torch")

from slt_hf import SignTranslator  # noqa: E402
from slt_hf.hub import push_folder  # noqa: E402
from slt_hf.processing.pose_files import write_pose  # noqa: E402

ELSEWHERE = """
import sys, torch
from transformers import AutoModelForSeq2SeqLM, AutoProcessor

processor = AutoProcessor.from_pretrained("somebody/fused", trust_remote_code=True)
model = AutoModelForSeq2SeqLM.from_pretrained("somebody/fused", trust_remote_code=True).eval()
batch = processor(poses=sys.argv[1], video=sys.argv[2], return_tensors="pt")
assert set(processor.model_input_names) <= set(batch), batch.keys()
tokens = model.generate(**batch, max_new_tokens=8)
poses = processor(poses=sys.argv[1], return_tensors="pt")
with torch.no_grad():
    losses = [round(model(**given, labels=torch.tensor([[5, 9, 1]])).loss.item(), 4) for given in (batch, poses)]
print("losses", *losses)
print("crops", int(batch["crop_values"].long().sum()), int(batch["crop_mask"].sum()))
print("text", processor.batch_decode(tokens, skip_special_tokens=True)[0].strip())
processor.save_pretrained(sys.argv[3])
assert not [name for name in sys.modules if name.startswith("slt_hf.")]
"""


def save_fused(folder: Path) -> Path:
    """Random weights whose gate is open."""
    from transformers import T5Config

    from slt_hf.modeling import PoseEncoderConfig, SignToTextConfig, SignToTextForConditionalGeneration
    from slt_hf.processing import PoseFeatureExtractor, PoseProcessor

    torch.manual_seed(0)
    text = T5Config(
        vocab_size=3 + len(WORDS), d_model=32, d_kv=8, num_heads=2, d_ff=32, num_layers=1, num_decoder_layers=1,
        decoder_start_token_id=0, initializer_factor=3.0,
    )  # fmt: skip
    encoder = PoseEncoderConfig(**SIZES).to_dict()
    config = SignToTextConfig(encoder_config=encoder, text_config=text, text_encoder="skip", hand_crop_width=4)
    model = SignToTextForConditionalGeneration(config)
    torch.nn.init.constant_(model.hand_crops.gate, 3.0)
    model.save_pretrained(folder)
    PoseProcessor(PoseFeatureExtractor(hand_crop_size=24), tiny_tokenizer()).save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_a_checkpoint_with_crops_travels_by_the_hub(
    hub_server: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hub_server.stand_in(monkeypatch)
    film = make_film(tmp_path / "film.mp4")
    write_pose(clip_of(25), tmp_path / "clip.pose")
    folder = save_fused(tmp_path / "fused")
    facts = {"license": "cc-by-4.0", "data": "Made-up clips.", "limits": "Knows nothing."}
    (folder / "card.yaml").write_text(yaml.safe_dump(facts))
    push_folder(folder, "somebody/fused")
    onward = tmp_path / "onward"
    printed = hub_server.python(
        ELSEWHERE, str(tmp_path / "clip.pose"), str(film), str(onward), without=["slt_hf"]
    ).splitlines()
    translator = SignTranslator.from_pretrained("somebody/fused", device="cpu")
    given = {"poses": tmp_path / "clip.pose", "return_tensors": "pt"}
    batch = translator.processor(**given, video=film)
    found = translator(tmp_path / "clip.pose", video=film, max_new_tokens=8)
    with pytest.warns(UserWarning, match="landmarks alone"):
        poses = translator.processor(**given)
    model = translator.engine.model  # type: ignore[attr-defined]
    with torch.no_grad():
        losses = [round(model(**each, labels=torch.tensor([[5, 9, 1]])).loss.item(), 4) for each in (batch, poses)]
    assert abs(losses[0] - losses[1]) > 0.01, "crops must matter here"
    assert printed[-3:] == [
        f"losses {losses[0]} {losses[1]}",
        f"crops {int(batch['crop_values'].long().sum())} {int(batch['crop_mask'].sum())}",
        f"text {found.text}",
    ]
    needed = {"hand_crops.py", "video_reading.py", "video_frames.py", "video_clip.py", "feature_extraction_pose.py"}
    assert needed <= {path.name for path in onward.iterdir()}, "travels on from there"
