"""What stands beside a score: floors, distinct references, reduced BLEU, census, overlap, integrity, notes."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_checkpoints import tiny_tokenizer

from slt_hf.evaluation.census import is_repetitive, take_census
from slt_hf.evaluation.floors import distinct_references, floor_scores, length_matched, shuffled
from slt_hf.evaluation.integrity import check_integrity, load_tokenizer, wrap
from slt_hf.evaluation.overlap import training_overlap
from slt_hf.evaluation.predictions import Predictions
from slt_hf.evaluation.reduced import function_words, without, words
from slt_hf.evaluation.tables import confidence_rows, group_table
from slt_hf.evaluation.text_metrics import score_text
from slt_hf.evaluation.text_report import TextOptions, text_report


def make(said: list[str], asked: list[str], **more) -> Predictions:
    return Predictions([str(i) for i in range(len(asked))], asked, said, **more)


def bleu_1(said, asked) -> dict[str, float]:
    return score_text(said, asked, names=("bleu_1", "exact_match"))


SENTENCES = [f"word{i} and word{i + 1} go home" for i in range(30)]


def test_shuffling_leaves_no_hypothesis_in_its_place():
    source = shuffled(SENTENCES, np.random.default_rng(0))
    assert sorted(source) == list(range(30)) and not (source == np.arange(30)).any()


def test_the_shuffled_floor_of_a_perfect_system_is_what_templates_give():
    floor = floor_scores(SENTENCES, SENTENCES, bleu_1, shuffled)
    assert floor["exact_match"] == 0 and 40 < floor["bleu_1"] < 80  # "and … go home" is shared by all
    assert floor["share_exchanged"] == 1


def test_length_matched_swaps_only_within_equal_lengths_and_says_how_many_it_could_swap():
    references = ["a", "b", "c d", "e f", "g h i"]
    source = length_matched(references, np.random.default_rng(0))
    assert [len(references[s].split()) for s in source] == [1, 1, 2, 2, 3]
    assert floor_scores(references, references, bleu_1, length_matched)["share_exchanged"] == pytest.approx(0.8)


def test_floors_are_the_same_every_time_and_depend_on_the_seed():
    one, again = (floor_scores(SENTENCES, SENTENCES, bleu_1, shuffled, seed=1) for _ in range(2))
    assert one == again


def test_each_reference_counts_once_for_the_distinct_score():
    assert distinct_references(["a", "b", "a ", "c", "b"]) == [0, 1, 3]
    report = text_report(make(["x y", "b b", "x y"], ["a a", "b b", "a a"]), TextOptions(samples=10))
    assert report["distinct_references"]["items"] == 2
    assert report["distinct_references"]["scores"]["bleu_1"] == pytest.approx(50)
    assert report["scores"]["bleu_1"]["score"] == pytest.approx(100 / 3)


def test_function_words_are_frequent_and_of_a_closed_class():
    texts = ["The rain and the wind come from the north", "the rain and rain", "the sun"]
    assert function_words(texts, "en") == ["the"]  # the 5, rain 3: half of 16 words; rain is content
    assert "rain" in function_words(texts, "xx")  # no closed classes known: frequency alone


def test_words_survive_in_scripts_with_combining_vowel_signs():
    assert words("“नमस्ते, दुनिया!”") == ["नमस्ते", "दुनिया"]
    assert without(["The rain, the sun."], ["the"]) == ["rain sun"]


def test_reduced_bleu_sees_through_fluent_nonsense():
    asked = [f"the {a} of the {b} is in the {c}" for a, b, c in zip("abcdef", "ghijkl", "mnopqr", strict=True)]
    said = ["the x of the y is in the z"] * 6
    report = text_report(make(said, asked), TextOptions(samples=10))
    assert report["scores"]["bleu_1"]["score"] > 60 and report["reduced"]["scores"]["bleu_1"] < 30
    assert report["reduced"]["derived_from"] == "references" and "the" in report["reduced"]["removed_words"]


@pytest.mark.parametrize(
    ("text", "heavy"),
    [
        ("the man goes goes goes home", True),
        ("very very good", False),
        ("I go to I go to I go to", True),
        ("the rain the rain is the rain the rain is the rain", True),
        ("Ha ha HA", True),
        ("a completely ordinary sentence without anything odd in it", False),
        ("", False),
    ],
)
def test_heavy_repetition_is_told_from_ordinary_repetition(text: str, heavy: bool):
    assert is_repetitive(text) is heavy


def test_census_counts_each_failure():
    said = ["", "go go go", "home", "home", "one two three four"]
    asked = ["a", "b", "home", "c", "d"]
    taken = take_census(said, asked, count_tokens=lambda text: len(text.split()), max_tokens=4)
    assert (taken.empty, taken.repetitive, taken.exact, taken.cut, taken.distinct) == (1, 1, 1, 1, 4)
    assert taken.most_frequent[0] == ("home", 2)
    assert take_census(said, asked).cut is None
    assert take_census(said, asked, truncated=[False, True, None, True, False]).cut == 2


def test_overlap_counts_training_sentences_and_the_wrong_ones_among_them():
    training = ["Go home.", "it rains"]
    said, asked = ["Go home.", "It rains!", "new words", ""], ["Go home.", "the sun", "new words", "it rains"]
    found = training_overlap(said, asked, training)
    assert (found.hypotheses, found.hypotheses_loosely, found.memorised, found.references_loosely) == (1, 2, 1, 2)
    report = text_report(make(said, asked), TextOptions(samples=10, training=training))
    assert report["overlap"]["scores_on_unseen"]["bleu_1"] == pytest.approx(score_text(said[1:3], asked[1:3])["bleu_1"])


def test_integrity_finds_references_that_a_trimmed_vocabulary_damages(tmp_path):
    tokenizer = wrap(tiny_tokenizer())
    checked = check_integrity(["word1 word2", "word1 Größe"], tokenizer)
    assert (checked.changed_text, checked.with_unknown) == (1, 1)
    assert ("ö", 1) in checked.lost and checked.examples[0][0] == "word1 Größe"
    tiny_tokenizer().save_pretrained(tmp_path)
    alone = load_tokenizer(str(tmp_path / "tokenizer.json"))  # by `tokenizers`, without transformers
    assert check_integrity(["word1 word2", "word1 Größe"], alone).changed_text == 1


def test_integrity_says_how_much_damaged_references_would_flatter():
    said, asked = ["word1 word2 word3 word4"] * 4, ["word1 word2 Größe word3 word4"] * 4
    report = text_report(make(said, asked), TextOptions(samples=10, tokenizer=wrap(tiny_tokenizer())))
    assert report["integrity"]["bleu_4_decoded"] > report["integrity"]["bleu_4_raw"]
    assert report["integrity"]["changed_text"] == 4


def test_other_scripts_get_no_rouge_and_a_note():
    report = text_report(make(["मौसम अच्छा है"], ["मौसम अच्छा है"]), TextOptions(samples=10))
    assert not any(name.startswith("rouge") for name in report["scores"]) and "ROUGE" in report["notes"][0]


@pytest.mark.parametrize(
    ("said", "asked", "word"),
    [
        (["Rain comes"], ["rain comes"], "lower case"),
        (["rain comes ."], ["rain comes ."], "tokenised"),
        (["明天下雨"], ["明天下雨"], "zh"),
    ],
)
def test_texts_that_make_scores_incomparable_are_noted(said: list[str], asked: list[str], word: str):
    assert any(word in note for note in text_report(make(said, asked), TextOptions(samples=10))["notes"])


def test_a_language_that_rouge_cannot_read_gets_none_while_others_keep_theirs():
    said, asked = ["it rains", "go home", "今天下雨"], ["it rains", "go home now", "今天天气好"]
    predictions = make(said, asked, columns={"language": ["eng", "eng", "zho"]}, confidences=[0.9, 0.4, 0.2])
    report = text_report(predictions, TextOptions(samples=10, group_by=("language",)))
    columns, rows = group_table("language", report["groups"]["language"])
    rouge = columns.index("ROUGE-L")
    assert [row[rouge] for row in rows] == ["0.9000", "–"]


def test_the_table_of_confidence_says_what_a_threshold_would_do():
    said = ["it rains", "go home", "sun", "wind"]
    predictions = make(said, ["it rains", "go home", "rain", "snow"], confidences=[0.9, 0.8, 0.3, 0.2])
    confidence = text_report(predictions, TextOptions(samples=10))["confidence"]
    _, rows = confidence_rows(confidence)
    assert rows[0][:2] == ["100%", "0.200"] and ["50%", "0.800", "0.000"] in rows


def test_scores_per_value_of_a_column():
    predictions = make(["a b", "x y"], ["a b", "c d"], columns={"language": ["en", "de"]})
    groups = text_report(predictions, TextOptions(samples=10, group_by=("language",)))["groups"]["language"]
    assert list(groups) == ["de", "en"] and groups["en"]["scores"]["wer"] == 0 and groups["de"]["scores"]["wer"] == 1
