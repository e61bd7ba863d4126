"""Ranking in Python: one call from a supernet, candidates and images to a table that chooses, compares and is saved."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nas_lightning.agreement import Agreement, agreement_with
from nas_lightning.commands.configs import RankingConfig
from nas_lightning.commands.ranking import check_predictor, choose_images, to_score
from nas_lightning.commands.write_ranking import Known, write_agreement
from nas_lightning.data import ImageDataset
from nas_lightning.errors import InputError
from nas_lightning.runs.made_from import write_source
from nas_lightning.runs.writing import write_json
from nas_lightning.scoring.predictors import PREDICTORS, predict
from nas_lightning.scoring.protocol import write_order
from nas_lightning.scoring.score import Scorer, score_candidates
from nas_lightning.scoring.table import SUBMISSION, ScoreTable, made_from_scores
from nas_lightning.space import Architecture, Population, read_accuracies
from nas_lightning.supernet.families import AnyModule

Accuracies = Mapping[Architecture, float] | Path | str
"""Fractions by candidate, or a file in the challenge's format."""


@dataclass(frozen=True)
class RankedTable(ScoreTable):
    """The score table of candidates of one space, as ``rank`` returns it."""

    population: Population

    def agreement(self, known: Accuracies, resamples: int = 1000) -> Agreement:
        """Agreement of each score, and of baselines without training, with known accuracies; print its ``table()``.

        Args:
            known: of at least three of the candidates.
            resamples: of the bootstrap.
        """
        return agreement_with(self, self._read(known), resamples)

    def save(self, folder: Path | str, known: Accuracies | None = None) -> Path:
        """Writes ``folder/ranking``, which ``nas-report run_dir=folder`` and nas-compare read; returns its ``scores.csv``.

        Args:
            folder: not that of a run; a table that was saved there before is replaced.
            known: accuracies to compare with, in files of their own.
        """
        ranking = Path(folder) / "ranking"
        if any((Path(folder) / place).exists() for place in ("config.yaml", "ranking/config.yaml")):
            raise InputError(f"folder: {folder} is a run's, whose ranking would be lost; give another folder")
        write_source(ranking / "scores.csv", self.as_csv(), made_from_scores(ranking))
        write_json(ranking / "protocol.json", {})
        write_order(ranking, self.default_score, self.population.space.layers)
        self.write_submission(ranking / SUBMISSION, self.default_score)
        if known is not None:
            accuracies = self._read(known)
            write_agreement(self, ranking, Known(accuracies), agreement_with(self, accuracies, 1000).to_json())
        return ranking / "scores.csv"

    def _read(self, known: Accuracies) -> Mapping[Architecture, float]:
        return known if isinstance(known, Mapping) else read_accuracies(Path(known), self.population.space)


def rank(
    supernet: AnyModule,
    candidates: Population,
    dataset: ImageDataset,
    *,
    images: int | None = None,
    batch_size: int | None = None,
    predictor: str = "monotone",
    fitted_on: int = 200,
    seed: int = 0,
) -> RankedTable:
    """The scores of candidates on the test images, those of ``nas-rank``, computed on the supernet's device.

    Args:
        supernet: trained on images of this kind; a path is loaded by ``load_supernet``.
        candidates: of the supernet's space.
        dataset: its test split is scored on.
        images: the first N of them; None takes all.
        batch_size: images of a pass, whose statistics the norms use; None takes all in one.
        predictor: ``monotone``, ``monotone_with_capacity`` or ``none``, as ``ranking.predictor``.
        fitted_on: candidates to fit it on; if the list has fewer, others of the space are scored too.
        seed: of these, and of the fit's folds.

    Raises:
        InputError: if images and supernet differ in classes, channels or resolution, or an argument is out of range.
    """
    wanted = {"classes": supernet.classes, "channels": supernet.channels, "resolution": supernet.space.resolution}
    for key, value in wanted.items():
        if (given := getattr(dataset, key)) != value:
            raise InputError(f"dataset.{key}: {given} differs from the supernet's {value}")
    if predictor not in PREDICTORS:
        raise InputError(f"predictor: {predictor!r} is not one of {', '.join(PREDICTORS)}")
    fit, score = PREDICTORS[predictor], "cross_entropy" if predictor == "none" else "predicted"
    scorer = Scorer(batch_size=batch_size)
    config = RankingConfig(scorer=scorer, images=images, predictor=fit, score=score, fitted_on=fitted_on, seed=seed)
    check_predictor(config, candidates)
    scored = to_score(config, candidates)
    device = next(supernet.parameters()).device
    pixels, labels = (part.to(device) for part in choose_images(config, dataset))
    scores = score_candidates(supernet, scored.architectures, pixels, labels, batch_size)
    predicted = None if fit is None else predict(fit, supernet.structure, scored, scores, candidates, seed)[0]
    return RankedTable.of(candidates, scores[: len(candidates)], supernet.structure, predicted)
