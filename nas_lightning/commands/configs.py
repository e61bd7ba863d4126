"""Every key of the configs of ``nas-train``, ``nas-rank`` and ``nas-standalone``, with its type, its unit and its legal range."""

from dataclasses import dataclass
from typing import Any

from nas_lightning.config import roles
from nas_lightning.config.fields import Later, Target, choice, inline, number, path, target
from nas_lightning.config.schema import LoaderConfig, MonitorConfig, PopulationConfig, RootConfig, SupernetConfig
from nas_lightning.scoring.score import Scorer
from nas_lightning.standalone import Recipe
from nas_lightning.training.stage import Stage

Integers = list[int]  # RankingConfig has a key named list


@dataclass(frozen=True, kw_only=True)
class RankingConfig:
    """``ranking``: which candidates are scored, and on what."""

    enabled: bool = True
    """False ranks nothing."""
    list: str | None = path(None)
    """A file in the challenge's format; None takes the run's population."""
    count: int | None = number(None, least=1)
    """Scores so many candidates, taken at random from the list with ``seed``; None scores all."""
    shard: str | None = None
    """``3/16`` scores the third of 16 parts of the list into a run folder that all shards share."""
    seed: int = number(0, least=0)
    images: int | None = number(None, least=1)
    """The first so many of the test split; None takes all."""
    scorer: Scorer = inline()
    statistics: str = choice("batch", among=("batch", "recalibrated"))
    """Of the norms: those of the images of a pass (averages, where the supernet keeps such), or of training images."""
    recalibration_images: int = number(1000, least=2)
    """The first so many of the training split, unaugmented; only with recalibrated statistics."""
    recalibration_batch: int = number(250, least=2)
    """Training images a pass; each is normalised by its own statistics on its way."""
    cheap_first: bool = False
    """Gives all candidates one batch of images, and more only to those that may be among the best."""
    cheap_first_keep: float = number(0.1, least=0, most=1)
    """The share of the candidates that is ranked as if all had been given all images; the best one at least."""
    score: str = choice("cross_entropy", among=("top1", "cross_entropy", "smoothed"))
    """Orders the candidates, and fills the submission's ``acc`` (cross entropies as their negative)."""
    smoothing: bool = False
    """Adds cross entropies smoothed over the widths, by a regression on the supernet's own scores."""
    smoothing_candidates: int = number(400, least=30, most=1_000_000)
    """Fitted on; where the list has fewer, others are drawn from the space and scored for it."""
    known_accuracies: str | None = path(None)
    """A file in the challenge's format with true accuracies as fractions, an ``acc`` of 0 for unknown; only measured against: no score
    is fitted on them."""
    resamples: int = number(1000, least=10, most=1_000_000)
    """Of the bootstrap behind the 95 % intervals."""
    budgets: Integers | None = number(None, least=1)
    """Multiply-adds for one image; None takes the quartiles of the list."""


@dataclass(frozen=True, kw_only=True)
class StandaloneConfig:
    """``standalone``: candidates trained alone, the truth that a ranking is compared with."""

    enabled: bool = True
    """False trains no candidate alone."""
    count: int | None = number(None, least=1)
    """Candidates, spread evenly over the list; None takes the whole list."""
    choose: str = choice("cost", among=("cost", "accuracy"))
    """In which order they are spread: of multiply-adds, or of the accuracies that the list's own file holds; then only candidates whose
    accuracy is known are taken."""
    seeds: list[int] = number(least=0)
    """A training for each; the accuracy is their mean."""
    processes: int = number(1, least=1, most=512)
    """Trainings at a time, in worker processes that share out the machine's threads and take turns on the trainer's devices."""
    shortcuts: str = choice("where_needed", among=("always", "where_needed"))
    """As the supernet's."""
    recipe: Later[Recipe] = inline()


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """``train.py``: the whole run."""

    seed: int = number(0, least=0)
    run_dir: str = path()
    resume: str | None = choice(None, among=("auto",))
    """``auto`` goes on with the newest run of the experiment instead of making a new folder."""
    dry_run: bool = False
    """Prints stages, steps, estimated time and memory, and stops."""
    returns: str = choice("agreement", among=("agreement", "panel_cross_entropy"))
    """What a sweeper is told of a run: Kendall's tau of ``ranking.score`` with known accuracies, or the panel's mean cross entropy."""
    initial_checkpoint: str | None = path(None)
    """Weights that the first stage starts from; None starts from scratch."""
    save_every_steps: int | None = number(None, least=1)
    """Writes ``last.ckpt`` after every so many steps, too, not only after every epoch."""
    space: Target = target(roles.SPACE)
    supernet: SupernetConfig
    data: Target = target(roles.DATASET)
    augmentation: Target = target(roles.AUGMENTATION)
    loader: LoaderConfig
    population: PopulationConfig
    stages: dict[str, Later[Stage]]
    monitor: MonitorConfig
    trainer: dict[str, Any]
    """Every argument of pl.Trainer but those that a stage decides."""
    standalone: StandaloneConfig
    ranking: RankingConfig
    plugins: list[str]
    """Packages of your own, whose classes ``_target_`` may name; only the command line gives them, see console/foreign.py."""


@dataclass(frozen=True, kw_only=True)
class RankConfig:
    """``nas-rank``: a ranking from a checkpoint."""

    resume: str | None = choice(None, among=("auto",))
    """``auto`` goes on with the newest ranking."""
    checkpoint: str = path()
    """A ``last.ckpt`` or ``supernet.safetensors``; a glob ranks with each and compares."""
    run_dir: str = path()
    data: RootConfig
    trainer: dict[str, Any]
    ranking: RankingConfig
    plugins: list[str]
    """Packages to import first: a dataset of your own is found by its name once its class exists."""


@dataclass(frozen=True, kw_only=True)
class StandaloneCommandConfig:
    """``nas-standalone``: trains given candidates alone."""

    seed: int = number(0, least=0)
    run_dir: str = path()
    resume: str | None = choice(None, among=("auto",))
    """``auto`` goes on with the newest run."""
    space: Target = target(roles.SPACE)
    data: Target = target(roles.DATASET)
    population: PopulationConfig
    scores: str | None = path(None)
    """A ranking's ``scores.csv`` with the same candidates, to compare with."""
    trainer: dict[str, Any]
    standalone: StandaloneConfig
    plugins: list[str]
