"""A card says what its checkpoint's files say, what only its makers know, and nothing that nobody measured."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_checkpoints import (
    save_classification,
    save_recognition,
    save_translation,
    save_video_classification,
    save_video_translation,
)

from slt_hf.errors import HubError
from slt_hf.model_card import count_parameters, metrics_table, read_facts, write_card

FACTS: dict[str, Any] = {"license": "cc-by-4.0", "data": "Made-up clips.", "limits": ["Only 3 signs.", "One signer."]}
METRIC = {"name": "wer", "value": 12.5, "dataset": "made-up", "split": "test", "signature": "jiwer 4.0"}


def facts_file(folder: Path, **facts: Any) -> None:
    (folder / "card.yaml").write_text(yaml.safe_dump(facts))


@pytest.mark.parametrize("save", [save_translation, save_recognition, save_classification])
def test_every_kind_of_checkpoint_has_a_card_without_gaps(tmp_path: Path, save: Any):
    save(tmp_path)
    facts_file(tmp_path, **FACTS, metrics=[METRIC])
    card = write_card(tmp_path, "org/name").read_text()
    for told in ("`signing_85`, 85 points", "synthetic 1", "Only 3 signs.", "jiwer 4.0", 'from_pretrained("org/name")'):
        assert told in card, told
    assert "$" not in card
    head = yaml.safe_load(card.split("---")[1])
    assert head["license"] == "cc-by-4.0" and head["model-index"][0]["results"][0]["metrics"][0]["value"] == 12.5


@pytest.mark.parametrize(
    ("save", "told"),
    [
        (save_video_translation, ["12.5 frames a second, 16 x 16 pixels", "given as videos", "SignTranslator"]),
        (save_video_classification, ["8 frames, spread evenly", "`VideoMAEForVideoClassification`", "40 signs"]),
    ],
)
def test_a_checkpoint_that_sees_frames_has_a_card_that_says_so(tmp_path: Path, save: Any, told: list[str]):
    save(tmp_path)
    facts_file(tmp_path, **FACTS, metrics=[METRIC])
    card = write_card(tmp_path, "org/name").read_text()
    for text in [*told, '("clip.mp4")', 'videos="clip.mp4"', "| videos came from | not stated |", "Only 3 signs."]:
        assert text in card, text
    assert "$" not in card and "pose" not in card.split("---", 2)[2]


def test_training_is_told_as_it_was_run_and_signatures_keep_their_bars(tmp_path: Path):
    save_translation(tmp_path)
    training = {"code": "slt_hf 0.1.0, commit 0a1b", "hardware": "a|b\nc", "recipe": {"seed": 3, "freeze": ["a."]}}
    facts_file(tmp_path, **FACTS, training=training, metrics=[{**METRIC, "signature": "nrefs:1|case:mixed"}])
    card = write_card(tmp_path, "org/name").read_text()
    assert "| code | slt_hf 0.1.0, commit 0a1b |\n| hardware | a\\|b c |" in card
    assert "freeze:\n- a.\nseed: 3\n```" in card
    assert card.index("## Data") < card.index("## Training") < card.index("## Metrics")
    [row] = [line for line in card.splitlines() if "nrefs" in line]
    assert len(re.findall(r"(?<!\\)\|", row)) == 6
    facts_file(tmp_path, **FACTS)
    assert "## Training" not in write_card(tmp_path, "org/name").read_text()


def test_classification_card_counts_its_signs(tmp_path: Path):
    save_classification(tmp_path)
    facts_file(tmp_path, **FACTS)
    assert "40 signs" in write_card(tmp_path, "org/name").read_text()


@pytest.mark.parametrize("absent", sorted(FACTS))
def test_card_without_data_limits_or_licence_is_refused(tmp_path: Path, absent: str):
    facts_file(tmp_path, **{name: value for name, value in FACTS.items() if name != absent})
    with pytest.raises(HubError, match=rf"found no {absent}"):
        read_facts(tmp_path)


def test_damaged_facts_are_an_error_that_names_the_file(tmp_path: Path):
    (tmp_path / "card.yaml").write_text("data: [")
    with pytest.raises(HubError, match=r"card\.yaml"):
        read_facts(tmp_path)


def test_unmeasured_is_said_and_not_made_up():
    assert metrics_table([]) == "None were measured."


def test_parameters_are_counted_from_the_file_headers(tmp_path: Path):
    import torch
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(3, 4), "b": torch.zeros(5), "c": torch.zeros(())}, tmp_path / "model.safetensors")
    assert count_parameters(tmp_path) == 18
