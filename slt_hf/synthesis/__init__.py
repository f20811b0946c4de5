"""The synthetic signer: text or glosses to poses by forward kinematics, for demo, tests and learning benchmarks.

    clip = synthesize("My sister bought two red apples.", seed=1)      # PoseClip, holistic_543
    write_pose(clip, "apples.pose")
    for sample in corpus(1000, split="train", noisy=True): ...          # .clip, .text, .gloss

Signs are approximations of American Sign Language from phonological descriptions (``lexicon.yaml``), written from
general knowledge. They are not motion capture, and not a teaching aid.

    handshapes.yaml, lexicon.yaml, grammar.yaml      what there is
    phonology → choreography → motion → recording    one sign → a sentence → joints over time → landmarks in pixels
    kinematics, places, body, signer                 arms and hands, where they go, whose they are, how they are filmed
    vocabulary → noun_phrases → sentence_patterns → grammar    words → sentences → splits
    transfer, english                                English to glosses, word forms
"""

from __future__ import annotations

from slt_hf.synthesis.corpus import (
    SyntheticSample,
    corpus,
    handshape_points,
    make_sample,
    sign_sentence,
    signer_of,
    spell,
    synthetic_sample,
)
from slt_hf.synthesis.grammar import make_sentence, sentences, split_of
from slt_hf.synthesis.lexicon import lexicon
from slt_hf.synthesis.sentence_patterns import SentencePair
from slt_hf.synthesis.signer import Camera, Noise, Signer
from slt_hf.synthesis.synthesizer import synthesize, synthesize_timed
from slt_hf.synthesis.transfer import glosses_of

LEXICON = lexicon()

__all__ = [
    "LEXICON",
    "Camera",
    "Noise",
    "SentencePair",
    "Signer",
    "SyntheticSample",
    "corpus",
    "glosses_of",
    "handshape_points",
    "lexicon",
    "make_sample",
    "make_sentence",
    "sentences",
    "sign_sentence",
    "signer_of",
    "spell",
    "split_of",
    "synthesize",
    "synthesize_timed",
    "synthetic_sample",
]
