"""Text or glosses to a clip of poses, seeded and exact to the byte."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from slt_hf.processing.pose_files import PoseClip
from slt_hf.synthesis.choreography import choreograph
from slt_hf.synthesis.motion import perform
from slt_hf.synthesis.recording import FULL_LAYOUT, record
from slt_hf.synthesis.signer import Signer
from slt_hf.synthesis.transfer import glosses_of


def synthesize(
    text: str | Sequence[str], seed: int = 0, signer: Signer | None = None, layout: str = FULL_LAYOUT
) -> PoseClip:
    """Sign a sentence.

    Args:
        text: an English sentence, or a list of glosses such as ``["MY", "NAME", "fs:ANNA"]``. English outside the
            grammar is signed word by word; words outside the lexicon are fingerspelled.
        seed: of everything that varies from one time to the next. The same arguments give the same bytes.
        signer: who signs and how it is filmed; the reference signer where absent.
        layout: ``holistic_543``, or what it is to be converted to; small layouts are made faster.

    Returns:
        A clip in pixels, y down, at the signer's camera's frame rate. ``write_pose`` writes it.

    Raises:
        SignDataError: there is nothing to sign, or a gloss is not known.
        LandmarkError: ``layout`` is not known.

    Example:
        >>> clip = synthesize("I love my sister", seed=7)
        >>> clip.layout, clip.points.shape[1]
        ('holistic_543', 543)
    """
    clip, _ = synthesize_timed(text, seed, signer, layout)
    return clip


def synthesize_timed(
    text: str | Sequence[str], seed: int = 0, signer: Signer | None = None, layout: str = FULL_LAYOUT
) -> tuple[PoseClip, list[tuple[str, float, float]]]:
    """As ``synthesize``, with (gloss, start_ms, end_ms) of every sign, transitions between signs left out."""
    signer = signer or Signer()
    glosses = glosses_of(text) if isinstance(text, str) else list(text)
    movement, *noise = np.random.SeedSequence(seed).spawn(3)
    sentence = choreograph(glosses, signer.rest)
    motion = perform(sentence, signer, np.random.default_rng(movement))
    times = motion.ends_ms.tolist()
    spans = [(gloss, times[first], times[last]) for gloss, (first, last) in zip(glosses, sentence.spans, strict=True)]
    return record(motion, signer, (noise[0], noise[1]), layout), spans
