"""How far two rankings agree with each other."""

from pathlib import Path

import numpy as np

from nas_lightning.errors import InputError
from nas_lightning.ranking.agreement import Agreement, measure
from nas_lightning.ranking.table import read_scores
from nas_lightning.space import SearchSpace


def compare_scores(first: Path, second: Path, space: SearchSpace, resamples: int) -> Agreement:
    """The second table's top-1 and negative cross entropy against the first's negative cross entropy, which has no ties.

    Args:
        first: a ``scores.csv``.
        second: another; only candidates in both count.

    Raises:
        InputError: if the tables share fewer than three candidates.
    """
    one, other = read_scores(first, space), read_scores(second, space)
    shared = [architecture for architecture in one if architecture in other]
    if len(shared) < 3:
        raise InputError(f"{first} and {second}: share {len(shared)} candidates; at least 3 are needed")
    truth = np.array([-one[architecture].cross_entropy for architecture in shared])
    scores = {
        "top-1": np.array([other[architecture].top1 for architecture in shared]),
        "negative cross entropy": np.array([-other[architecture].cross_entropy for architecture in shared]),
    }
    return measure(scores, truth, resamples=resamples)
