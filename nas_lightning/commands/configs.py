"""Every config key of ``nas-train``, ``nas-rank`` and ``nas-standalone``, with its type, unit and legal range."""

from dataclasses import dataclass
from typing import Any

from nas_lightning.config import roles
from nas_lightning.config.fields import Later, Target, choice, inline, number, path, target, word
from nas_lightning.config.schema import LoaderConfig, MonitorConfig, PopulationConfig, RootConfig, SupernetConfig
from nas_lightning.export.settings import ExportSettings
from nas_lightning.scoring.predictors import FEWEST, PREDICTORS, Predictor
from nas_lightning.scoring.score import Scorer
from nas_lightning.standalone.train_alone import Recipe
from nas_lightning.supernet.traced.choices import Widths
from nas_lightning.training.stage import Stage

CHOOSE = ("cost", "accuracy", "best", "search")
Integers = list[int]  # RankingConfig has a key named list


@dataclass(frozen=True, kw_only=True)
class RankingConfig:
    """``ranking``: which candidates are scored, and how."""

    enabled: bool = True
    """False ranks nothing."""
    list: str | None = path(None)
    """A file in the challenge's format; None takes the run's population, in nas-rank a list drawn from the space."""
    count: int | None = number(None, least=1)
    """Scores N candidates, drawn at random from the list (or the space) with ``seed``; None scores all, or draws 1,000."""
    shard: str | None = None
    """``3/16`` scores the third of 16 parts of the list into a run folder that all shards share."""
    seed: int = number(0, least=0)
    """Seed of random choices from the list."""
    images: int | None = number(None, least=1)
    """Uses the first N of the test split; None takes all, up to ``most_images``."""
    most_images: int | None = number(None, least=1)
    """Uses at most N test images where ``images`` is None, so that it fits data sets of any size."""
    scorer: Scorer = inline()
    statistics: str = choice("batch", among=("batch", "recalibrated"))
    """The norms' statistics: of the images of a pass (or running averages, if kept), or of training images."""
    recalibration_images: int = number(1000, least=2)
    """Uses the first N of the training split, unaugmented; only with recalibrated statistics."""
    recalibration_batch: int = number(250, least=2)
    """Training images per pass; each pass is normalised by its own statistics."""
    cheap_first: bool = False
    """Gives all candidates one batch of images, and more only to those that may be among the best."""
    cheap_first_keep: float = number(0.1, least=0, most=1)
    """Share of the candidates that is ranked as if all had all images; at least the best one."""
    score: str = choice("predicted", among=("top1", "cross_entropy", "predicted"))
    """Orders the candidates, and fills the submission's ``acc`` (cross entropies as their negative)."""
    predictor: Predictor | None = word("monotone", among=PREDICTORS)
    """Adds cross entropies predicted from the widths, by a fit on the supernet's own scores."""
    fitted_on: int = number(200, least=FEWEST, most=1_000_000)
    """Candidates to fit on; if the list has fewer, others are drawn from the space and scored."""
    scored: int | None = number(None, least=FEWEST)
    """Scores only N candidates of the list, drawn at random with ``seed``, and predicts the others; None scores all."""
    known_accuracies: str | None = path(None)
    """A file in the challenge's format with true accuracies, fractions or percents, an ``acc`` of 0 for unknown; only compared
    with: no score is fitted on them."""
    resamples: int = number(1000, least=10, most=1_000_000)
    """Bootstrap resamples behind the 95 % intervals."""
    budgets: Integers | None = number(None, least=1)
    """Multiply-adds per image; None takes the quartiles of the list."""


@dataclass(frozen=True, kw_only=True)
class StandaloneConfig:
    """``standalone``: candidates trained stand-alone, the ground truth of a ranking."""

    enabled: bool = True
    """False trains no candidate stand-alone."""
    count: int | None = number(None, least=1)
    """Candidates, spread evenly over the list; None takes the whole list, or the 10 best."""
    choose: str = choice("cost", among=CHOOSE)
    """Spreads them in order of multiply-adds, or of the accuracies in the list's own file (only those with one); ``best``
    takes the best of a ranking, ``search`` the chosen of a search, which only nas-standalone does."""
    seeds: list[int] = number(least=0)
    """One training per seed; the accuracy is their mean."""
    processes: int = number(1, least=1, most=512)
    """Trainings at a time, in worker processes that divide the machine's threads and the trainer's devices."""
    shortcuts: str = choice("where_needed", among=("always", "where_needed"))
    """As ``supernet.shortcuts``."""
    recipe: Later[Recipe] = inline()


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """``network``: any convolutional network in place of ``space``, whose layers' widths are the choices: docs/networks.md."""

    network: dict[str, Any]
    """The constructor by ``_target_``, and its arguments: of a network of torchvision or timm, or a class of your own."""
    name: str | None = None
    """Of the network in its library."""
    classes_argument: str | None = "num_classes"
    """Argument of the constructor that takes the number of classes; None if there is none."""
    widths: Widths
    fixed: tuple[str, ...] = ()
    """Patterns of layers that keep all their channels, as ``layer4.*``."""
    tie: tuple[str, ...] = ()
    """Patterns of choices that become one, with the same share of the channels."""
    sort: str = choice("none", among=("none", "l1"))
    """``l1`` puts the channels with the largest weights first, which narrow candidates keep; only with ``weights``."""
    weights: str | None = None
    """Trained weights to begin with: ``DEFAULT`` fetches the library's, ``FILE.safetensors`` has the network's names."""


@dataclass(frozen=True, kw_only=True)
class CommandConfig:
    """The keys of every command that works in a run folder."""

    run_dir: str = path()
    """The run folder; a new one with the time in its name by default. An existing one resumes."""
    resume: str | None = choice(None, among=("auto",))
    """``auto`` resumes the newest run next to ``run_dir`` instead of making a new folder."""
    threads: int | None = number(None, least=1, most=1024)
    """PyTorch's threads on the CPU; None takes one a core, or ``OMP_NUM_THREADS``. Small networks need one."""
    trainer: dict[str, Any]
    """Arguments of pl.Trainer, each as ``trainer.NAME=VALUE``: docs/trainer_arguments.md."""
    plugins: list[str]
    """Packages of your own, whose classes ``_target_`` may name; only the command line gives them: docs/extending.md."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig(CommandConfig):
    """``train.py``: the whole run."""

    seed: int = number(0, least=0)
    """Of weights, batches, paths and draws."""
    dry_run: bool = False
    """Prints stages, steps, estimated time and memory, and stops."""
    returns: str = choice("agreement", among=("agreement", "panel_cross_entropy"))
    """The metric for a sweeper: Kendall's tau of ``ranking.score`` with known accuracies, or the panel's mean cross
    entropy."""
    initial_checkpoint: str | None = path(None)
    """Weights that the first stage starts from; None starts from scratch."""
    save_every_steps: int | None = number(None, least=1)
    """Writes ``last.ckpt`` also after every N steps, not only after every epoch."""
    network: NetworkConfig | None = None
    """A network whose widths are the choices, instead of a space."""
    space: Target = target(roles.SPACE)
    """What a candidate is."""
    supernet: SupernetConfig
    data: Target = target(roles.DATASET)
    """The images."""
    augmentation: Target = target(roles.AUGMENTATION)
    """What happens to training images."""
    loader: LoaderConfig
    population: PopulationConfig
    stages: dict[str, Later[Stage]]
    monitor: MonitorConfig
    standalone: StandaloneConfig
    ranking: RankingConfig


@dataclass(frozen=True, kw_only=True)
class RankConfig(CommandConfig):
    """``nas-rank``: a ranking from a checkpoint; a data set of your own is found by its name once ``plugins`` import it."""

    checkpoint: str = path()
    """A ``last.ckpt`` or ``supernet.safetensors``; a glob ranks with each and compares the rankings."""
    data: RootConfig
    ranking: RankingConfig


@dataclass(frozen=True, kw_only=True)
class StandaloneCommandConfig(CommandConfig):
    """``nas-standalone``: trains given candidates stand-alone.

    ``choose=best`` trains the best of a ranking, ``choose=search`` the chosen of a search, each with as many random ones:
    space, images and recipe are those of its run.
    """

    seed: int = number(0, least=0)
    """Offered to your own classes that take one; the trainings have ``standalone.seeds``."""
    network: NetworkConfig | None = None
    """A network whose widths are the choices, instead of a space."""
    space: Target = target(roles.SPACE)
    """What a candidate is."""
    data: Target = target(roles.DATASET)
    """The images."""
    population: PopulationConfig
    scores: str | None = path(None)
    """A ranking's ``scores.csv`` with the same candidates, to compare with, or with ``choose=best`` to choose from; with
    ``choose=search`` a search's ``chosen.json``."""
    choose: str | None = choice(None, among=CHOOSE)
    """Short for ``standalone.choose``."""
    count: int | None = number(None, least=1)
    """Short for ``standalone.count``."""
    budget: float | None = number(None, above=0)
    """With ``choose=best`` the multiply-adds that no candidate may exceed; None has no limit. With ``choose=search`` a number that
    only one of its budgets has."""
    random: int | None = number(None, least=0)
    """With ``choose=best`` or ``search`` the random candidates of the same list and budget to train; None takes as many as the best."""
    start: str | None = path(None)
    """The folder of an export with network.safetensors: trains this network on, and exports it again into ``run_dir``."""
    standalone: StandaloneConfig


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """``nas-export``: one candidate, or a few, out of a supernet into files for other programs."""

    run_dir: str = path()
    """Receives ``export/<code>/``; a new folder with the time in its name by default."""
    checkpoint: str = path()
    """A ``last.ckpt`` or ``supernet.safetensors``."""
    architecture: str | None = None
    """The code of the candidate, such as ``16-8-12``."""
    chosen: str | None = path(None)
    """A search's ``chosen.json``, or any JSON list of objects with a code under ``architecture``."""
    count: int | None = number(1, least=1)
    """Exports the N best of each budget of a search; None takes all. A list that names no ``place`` is exported whole."""
    data: RootConfig
    threads: int | None = number(None, least=1, most=1024)
    """PyTorch's threads on the CPU, with which latencies are measured too; None takes one a core, or ``OMP_NUM_THREADS``."""
    export: ExportSettings
    plugins: list[str]
    """Packages of your own that hold the checkpoint's data set: docs/extending.md."""
