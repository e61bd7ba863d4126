"""Writes the files of a whole ranking, then prints its table, so that a closed terminal loses no file."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nas_lightning.agreement.measure import agreement_with
from nas_lightning.commands.screen import ranking_screen
from nas_lightning.devices.progress import report
from nas_lightning.runs.made_from import KEY, hashes, write_source
from nas_lightning.runs.writing import write_json
from nas_lightning.scoring.halves import Halves
from nas_lightning.scoring.prediction import Prediction
from nas_lightning.scoring.protocol import write_order
from nas_lightning.scoring.table import HALVES, PREDICTION, SUBMISSION, ScoreTable, made_by_the_run, made_from_scores
from nas_lightning.search.successive_halving import Halving
from nas_lightning.space import Architecture, Candidates


@dataclass(frozen=True)
class Known:
    """Known accuracies to compare a ranking with."""

    accuracies: Mapping[Architecture, float]
    """Fractions; unknown architectures are absent."""
    by_seed: npt.NDArray[np.float64] | None = None
    """(n, s) accuracies of the training seeds, one row per architecture; their means are the known accuracies."""
    trained: Path | None = None
    """Their file, if the run trained them itself."""
    images: int | None = None
    """Test images that they were measured on; None if that is unknown."""


def write_and_print(
    table: ScoreTable,
    folder: Path,
    score: str,
    budgets: Sequence[int] | None,
    resamples: int,
    known: Known | None,
    cheap_first: Halving | None = None,
    prediction: Prediction | None = None,
    halves: Halves | None = None,
    doubt: str = "",
) -> dict[str, Any] | None:
    """Writes and prints a whole ranking.

    Args:
        folder: receives the files; those made from other scores are removed.
        score: orders the candidates, and fills the submission.
        budgets: as the config's; None shows none.
        resamples: of the bootstrap.
        known: None compares with nothing.
        cheap_first: the result of successive halving, if used.
        prediction: the predictor's, if there is one.
        halves: of the images, if they can be compared.
        doubt: a sentence on the scores that a reader should see first.

    Returns:
        The agreement with known accuracies, if there are any.
    """
    removed = write_source(folder / "scores.csv", table.as_csv(), made_from_scores(folder))
    removed += write_order(folder, score, table.population.widths.shape[1], None if prediction is None else prediction.predictor)
    table.write_submission(folder / SUBMISSION, score)
    written, notes = [SUBMISSION], [doubt] if doubt else []
    if cheap_first is not None:
        write_json(folder / "cheap_first.json", cheap_first.to_json())
        written, notes = [*written, "cheap_first.json"], [*notes, str(cheap_first)]
    if prediction is not None:
        write_json(folder / PREDICTION, prediction.to_json())
        written, notes = [*written, PREDICTION], [*notes, *([prediction.doubt] if prediction.doubtful else [])]
    if halves is not None:
        write_json(folder / HALVES, halves.to_json())
        written.append(HALVES)
    agreement = None
    if known is not None:
        agreement = agreement_with(table, known.accuracies, resamples, by_seed=known.by_seed, images=known.images)
        write_agreement(table, folder, known, agreement.to_json())
        written += ["agreement.json", "known_accuracies.json"]
    if lost := [path.name for path in removed if path.name not in written]:
        print(f"removed, as the scores that they were made from, or their order, changed: {', '.join(lost)}", file=sys.stderr)
    report(ranking_screen(table, score, agreement, budgets, notes), to_stdout=True)
    return None if agreement is None else agreement.to_json()


def write_agreement(table: ScoreTable, folder: Path, known: Known, result: Mapping[str, Any]) -> None:
    """Writes the known accuracies of the table's candidates, and the agreement with them."""
    with_known = Candidates(tuple(candidate for candidate in table.population if candidate.architecture in known.accuracies))
    path, made_from_it = folder / "known_accuracies.json", [folder / "agreement.json", *made_by_the_run(folder)]
    write_source(path, with_known.as_json(known.accuracies[architecture] for architecture in with_known.architectures), made_from_it)
    sources = {"scores.csv": folder / "scores.csv", "known_accuracies.json": path}
    trained = {} if known.trained is None else {"standalone/known_accuracies.json": known.trained}
    write_json(folder / "agreement.json", {**result, KEY: hashes({**sources, **trained})})
