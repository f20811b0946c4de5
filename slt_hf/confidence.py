"""What a confidence means: a checkpoint's own scores, brought to the share of answers that are right.

`calibration.json` beside the weights holds it, fitted on dev clips; offline, live and exported translations all pass
through it. A checkpoint without it keeps its scores as they are.

# N dev clips
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from slt_hf.errors import CheckpointError

FILE = "calibration.json"
NAMES = "scores, confidences, abstain_below, data, slowest_ms"  # in every file; two more in newer ones


@dataclass(frozen=True)
class Calibration:
    """A rising curve from score to confidence, straight between its points.

    Attributes:
        scores, confidences: the points, rising; without any, a score stays what it is.
        abstain_below: a stream says nothing below this confidence, unless its policy names another threshold.
        slowest_ms: nor where it took longer than this for each character, unless its policy says so; None: no limit.
        slowest_sign_ms: the same for a sign alone, thrice that for each of several, where the encoder tells how many it
            read; there it goes before `slowest_ms`.
        alone_certainty: least probability that the encoder must give a sign alone, where it tells.
        data: what it was fitted on.
    """

    scores: tuple[float, ...] = ()
    confidences: tuple[float, ...] = ()
    abstain_below: float = 0.0
    data: str = ""
    slowest_ms: float | None = None
    slowest_sign_ms: float | None = None
    alone_certainty: float = 0.0

    def __post_init__(self) -> None:
        curve = (self.scores, self.confidences)
        rising = all(list(each) == sorted(each) for each in curve) and len(set(self.scores)) == len(self.scores)
        within = all(0 <= value <= 1 for each in (*curve, (self.abstain_below, self.alone_certainty)) for value in each)
        if len(self.scores) != len(self.confidences) or not rising or not within:
            raise CheckpointError(
                f"{FILE}: expected rising scores and confidences in [0, 1], as many of each, found {curve}, "
                f"abstain_below={self.abstain_below}, alone_certainty={self.alone_certainty}; fit it again, or delete "
                "it to keep the scores as they are"
            )

    def __call__(self, score: float) -> float:
        return float(np.interp(score, self.scores, self.confidences)) if self.scores else score

    @classmethod
    def load(cls, folder: str | Path) -> Calibration:
        """The curve beside a checkpoint's weights; scores stay as they are where there is none.

        Raises:
            CheckpointError: if the file is damaged.
        """
        path = Path(folder) / FILE
        if not path.is_file():
            return cls()
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            scores, confidences = (tuple(float(each) for each in values[name]) for name in ("scores", "confidences"))
            by_character, by_sign = (
                None if each is None else float(each) for each in (values["slowest_ms"], values.get("slowest_sign_ms"))
            )
            below, alone = float(values["abstain_below"]), float(values.get("alone_certainty", 0.0))
            return cls(scores, confidences, below, str(values["data"]), by_character, by_sign, alone)
        except (TypeError, KeyError, ValueError) as error:
            raise CheckpointError(f"{path}: expected all of {NAMES}, found {error!r}; fit it again") from error

    def save(self, folder: str | Path) -> None:
        (Path(folder) / FILE).write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def fit(
        cls, scores: np.ndarray, right: np.ndarray, abstain_below: float = 0.0, data: str = "", smallest: int = 20
    ) -> Calibration:
        """Isotonic regression (pool adjacent violators, Zadrozny and Elkan 2002) of pools of `smallest` clips or more.

        Args:
            scores: of dev clips, (N,).
            right: whether each was read right, (N,).
        """
        clips = np.stack([scores, right], 1).astype(float)[np.argsort(scores, kind="stable")]  # (N, 2)
        pools: list[np.ndarray] = []
        for pool in np.array_split(clips, max(1, len(clips) // smallest)):
            pools.append(pool)
            while len(pools) > 1 and not (means_of(pools[-2]) < means_of(pools[-1])).all():
                pools[-2:] = [np.concatenate(pools[-2:])]
        curve = np.array([means_of(pool) for pool in pools])
        return cls(tuple(curve[:, 0].tolist()), tuple(curve[:, 1].tolist()), abstain_below, data)


def means_of(pool: np.ndarray) -> np.ndarray:
    """Mean score and share that is right, (2,); to six digits, as they are written."""
    return pool.mean(0).round(6)
