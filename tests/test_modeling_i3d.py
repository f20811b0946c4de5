"""I3D: the published network's numbers, clips of any length, loss, and the Auto classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from huggingface_hub.errors import StrictDataclassClassValidationError  # noqa: E402
from i3d_published import seeded_clip, seeded_weights  # noqa: E402
from transformers import AutoModel, AutoModelForVideoClassification  # noqa: E402

from slt_hf.convert_i3d import from_published  # noqa: E402
from slt_hf.modeling import I3DConfig, I3DForVideoClassification, I3DModel  # noqa: E402

PUBLISHED = json.loads((Path(__file__).parent / "i3d_published.json").read_text(encoding="utf-8"))["cases"]
TINY = {"width_multiplier": 0.06, "num_frames": 16, "image_size": 32, "num_labels": 5}


def published(case: str) -> tuple[Any, Any]:
    shape = tuple(PUBLISHED[case]["clip"])
    weights = {name: torch.from_numpy(np.asarray(value)) for name, value in seeded_weights(shape[1]).items()}
    return from_published(weights, "seeded", "kinetics"), torch.from_numpy(seeded_clip(shape))[None]


def assert_published(name: str, output: Any, wanted: dict[str, Any]) -> None:
    assert list(output.shape) == wanted["shape"], name
    flat = output.flatten().double().numpy()
    places = np.random.RandomState(len(flat)).randint(0, len(flat), len(wanted["values"]))
    chosen = flat if len(wanted["values"]) == len(flat) else flat[places]
    found, expected = [flat.mean(), flat.std(), *chosen], [wanted["mean"], wanted["std"], *wanted["values"]]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("case", ["pictures", pytest.param("flow", marks=pytest.mark.slow)])
def test_every_layer_gives_what_the_published_code_gave(case: str):
    model, clip = published(case)
    with torch.no_grad():
        layers = model.i3d(clip, output_hidden_states=True).hidden_states
    assert list(layers) == list(PUBLISHED[case]["layers"])
    for name, output in layers.items():
        assert_published(name, output, PUBLISHED[case]["layers"][name])


@pytest.mark.slow
def test_whole_pictures_give_the_published_features_and_answers():
    model, clip = published("whole")
    with torch.no_grad():
        seen = model.i3d(clip, output_hidden_states=True)
        answers = model.classifier(seen.last_hidden_state)
        logits = model(clip).logits
    layers = {**seen.hidden_states, "features": seen.last_hidden_state, "Logits": answers}
    wanted = PUBLISHED["whole"]["layers"]
    assert list(layers) == list(wanted)
    for name, output in layers.items():
        assert_published(name, output, wanted[name])
    averaged = np.reshape(wanted["Logits"]["values"], (2, 10)).mean(0)
    np.testing.assert_allclose(logits[0].numpy(), averaged, rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def tiny() -> Any:
    torch.manual_seed(0)
    model = I3DForVideoClassification(I3DConfig(**TINY))
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.running_mean.normal_(0, 0.1)
    return model.eval()


@pytest.mark.parametrize("frames", [1, 2, 8, 9, 16, 33, 64])
def test_any_number_of_frames_gives_an_answer(tiny: Any, frames: int):
    with torch.no_grad():
        seen = tiny.i3d(torch.rand(1, frames, 3, 32, 32))
    assert seen.last_hidden_state.shape == (1, max(1, -(-frames // 8) - 1), tiny.config.hidden_size)


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_padding_and_batch_mates_do_not_change_an_answer(tiny: Any, monkeypatch: pytest.MonkeyPatch, pooling: str):
    monkeypatch.setattr(tiny.config, "time_pooling", pooling)
    clips, mask = torch.rand(3, 24, 3, 32, 40), torch.ones(3, 24, dtype=torch.long)
    mask[1, 10:] = 0
    clips[1, 10:] = 9.0
    with torch.no_grad():
        together = tiny(clips, mask)
        alone = tiny(clips[1:2, :10])
    torch.testing.assert_close(together.logits[1:2], alone.logits, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(together.logits[2:], tiny(clips[2:]).logits, atol=1e-6, rtol=1e-5)


def test_loss_is_summed_over_clips_and_divided_by_those_of_the_whole_step():
    torch.manual_seed(0)
    model = I3DForVideoClassification(I3DConfig(**TINY, batch_statistics=False, dropout=0.0)).train()
    clips, labels = torch.rand(4, 9, 3, 32, 32), torch.tensor([0, 3, -100, 4])
    whole = model(clips, labels=labels).loss
    halves = (slice(0, 2), slice(2, 4))
    parts = sum(model(clips[half], labels=labels[half], num_items_in_batch=3).loss for half in halves)
    torch.testing.assert_close(whole, parts, atol=1e-6, rtol=1e-5)


def test_stored_statistics_stay_as_they_are_when_training_keeps_to_them():
    for batch_statistics in (True, False):
        model = I3DForVideoClassification(I3DConfig(**TINY, batch_statistics=batch_statistics)).train()
        before = model.i3d.layers["Conv3d_1a_7x7"].bn.running_mean.clone()
        model(torch.rand(2, 8, 3, 32, 32))
        assert torch.equal(before, model.i3d.layers["Conv3d_1a_7x7"].bn.running_mean) != batch_statistics


@pytest.mark.slow
def test_it_learns_four_clips():
    torch.manual_seed(0)
    model = I3DForVideoClassification(I3DConfig(**TINY, dropout=0.0)).train()
    clips, labels = torch.rand(4, 8, 3, 32, 32), torch.arange(4)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(40):
        loss = model(clips, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1, loss.item()


def test_auto_classes_find_it(tiny: Any, tmp_path: Path):
    tiny.save_pretrained(tmp_path)
    clip = torch.rand(1, 9, 3, 32, 32)
    classifier = AutoModelForVideoClassification.from_pretrained(tmp_path)
    assert type(classifier) is I3DForVideoClassification
    assert torch.equal(classifier(clip).logits, tiny(clip).logits)
    features = AutoModel.from_pretrained(tmp_path)
    assert type(features) is I3DModel
    assert torch.equal(features(clip).last_hidden_state, tiny.i3d(clip).last_hidden_state)


@pytest.mark.parametrize("shape", [(1, 8, 2, 32, 32), (1, 8, 3, 16, 32), (8, 3, 32, 32)])
def test_other_shapes_are_refused_with_what_to_do(tiny: Any, shape: tuple[int, ...]):
    with pytest.raises(ValueError, match="use the checkpoint's own processor"):
        tiny(torch.rand(shape))


def test_a_config_without_width_is_refused():
    with pytest.raises(StrictDataclassClassValidationError, match="width_multiplier above 0"):
        I3DConfig(width_multiplier=0.0)
