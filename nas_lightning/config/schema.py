"""Every key that a config may hold, with its type, its unit and its legal range."""

from dataclasses import dataclass, field
from typing import Any

from nas_lightning.config import roles

Integers = list[int]  # RankingConfig has a key named list


@dataclass(frozen=True)
class Target:
    """An object chosen in conf/ by ``_target_``; its other keys are the arguments of its constructor.

    Args:
        role: what it must be.
    """

    node: dict[str, Any]
    role: roles.Role


def number(default: Any = ..., *, least: float | None = None, most: float | None = None) -> Any:
    """A field whose value must lie in [least, most]; without a default the config must give it."""
    metadata = {"least": least, "most": most}
    return field(metadata=metadata) if default is ... else field(default=default, metadata=metadata)


def choice(default: str | None, *, among: tuple[str, ...]) -> Any:
    """A field whose value must be one of a few words."""
    return field(default=default, metadata={"among": among})


def target(role: roles.Role) -> Any:
    """A field that holds an object of a role."""
    return field(metadata={"role": role})


def path(default: Any = ...) -> Any:
    """A field that names a file or a folder; without a default the config must give it."""
    metadata = {"is_path": True}
    return field(metadata=metadata) if default is ... else field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class SupernetConfig:
    """``supernet``: what the slices share beside their weights."""

    shortcuts: str = choice("always", among=("always", "where_needed"))
    norm: str = choice("batch", among=("batch", "running"))
    channels_last: bool = True
    """How images lie in memory on a GPU."""


@dataclass(frozen=True, kw_only=True)
class LoaderConfig:
    """``loader``: how images come in batches."""

    batch_size: int = number(128, least=2)
    """Training images a step and device; the norms' statistics come from them."""
    eval_batch_size: int = number(500, least=1)
    """Held-out images a validation batch."""
    holdout: int = number(0, least=0)
    """Training images kept out of training for monitoring."""
    workers: int = number(0, least=0, most=512)
    """Processes that read images; 0 reads in the main one."""
    resident: bool | None = None
    """Whether the training images stay on the device that trains; None where that is a GPU and nothing else is in the way."""


@dataclass(frozen=True, kw_only=True)
class PopulationConfig:
    """``population``: the run's list of candidates, from a file or drawn."""

    file: str | None = path(None)
    """In the challenge's format; None draws a list."""
    count: int = number(50_000, least=1, most=10_000_000)
    """Candidates to draw."""
    seed: int = number(0, least=0)
    """Of the draw."""
    max_mib: float = number(64, least=0)
    """The size that a file may have."""


@dataclass(frozen=True, kw_only=True)
class LowResolutionConfig:
    """``stages.<name>.low_resolution``: smaller images in the first part of a stage."""

    side: int = number(least=4)
    """Pixels."""
    share: float = number(least=0, most=1)
    """Of the stage."""


@dataclass(frozen=True, kw_only=True)
class StageConfig:
    """``stages.<name>``: one entry of the recipe."""

    epochs: int = number(least=1)
    """Passes over the training split."""
    sampler: Target = target(roles.SAMPLER)
    objective: Target = target(roles.OBJECTIVE)
    optimizer: Target = target(roles.OPTIMIZER)
    """Its ``lr`` is the schedule's peak."""
    schedule: Target = target(roles.SCHEDULE)
    gradients: str = choice("sum", among=("sum", "mean"))
    """Over the passes of a step; sum makes the effective rate grow with the paths."""
    path_execution: str = choice("sequential", among=("sequential", "batched"))
    """A step's passes one after another, or in one full-width pass; the same gradients to rounding."""
    across_devices: str = choice("same", among=("same", "different"))
    """Whether several devices train the same candidates at a step, on different images, or each its own."""
    rate_scaling: str = choice("none", among=("none", "linear", "sqrt"))
    """How the learning rate grows with the devices, a step of which sees that many times ``loader.batch_size`` images."""
    non_finite: str = choice("stop", among=("stop", "skip"))
    """At a step whose loss is nan or infinite: end the stage, or leave the weights as they are and count it."""
    low_resolution: LowResolutionConfig | None = None
    """None trains on whole images throughout."""
    max_steps: int | None = number(None, least=1)
    """Ends the stage, and its schedule, after so many optimizer steps."""
    keep_every: int | None = number(None, least=1)
    """Keeps a checkpoint every so many epochs."""


@dataclass(frozen=True, kw_only=True)
class MonitorConfig:
    """``monitor``: candidates evaluated on the hold-out while training; needs ``loader.holdout``."""

    every_epochs: int = number(1, least=1)
    candidates: int = number(4, least=0)
    """Drawn with the seed, beside the largest and the smallest."""


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
    batch_size: int | None = number(None, least=1)
    """Images a pass, whose statistics the norms use; None takes all images in one, the original protocol."""
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
    prefix_memory: float = number(1.0, least=0)
    """GiB for features that several candidates share; with less, more is computed again."""
    chunk_size: int = number(50, least=1)
    """Candidates between two writes to disk."""
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
    max_mib: float = number(64, least=0)
    """The size that ``list`` and ``known_accuracies`` may have."""
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
    epochs: int = number(least=1)
    batch_size: int = number(128, least=2)
    optimizer: Target = target(roles.OPTIMIZER)
    schedule: Target = target(roles.SCHEDULE)
    augmentation: Target = target(roles.AUGMENTATION)
    shortcuts: str = choice("where_needed", among=("always", "where_needed"))
    norm: str = choice("running", among=("batch", "running"))


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
    stages: dict[str, StageConfig]
    monitor: MonitorConfig
    trainer: dict[str, Any]
    """Every argument of pl.Trainer but those that a stage decides."""
    standalone: StandaloneConfig
    ranking: RankingConfig
    plugins: list[str]
    """Packages of your own, whose classes ``_target_`` may name; only the command line gives them, see commands/foreign.py."""


@dataclass(frozen=True, kw_only=True)
class RootConfig:
    """``data`` of ``nas-rank``: where the files lie; which images, how scaled, the checkpoint says."""

    root: str | None = path(None)


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
class AloneConfig:
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


@dataclass(frozen=True, kw_only=True)
class CompareConfig:
    """``nas-compare``: agreement of two score tables, with each other and with known accuracies."""

    first: str = path()
    second: str = path()
    space: Target = target(roles.SPACE)
    known_accuracies: str | None = path(None)
    """A file in the challenge's format with true accuracies as fractions: which table agrees better with them."""
    resamples: int = number(1000, least=10, most=1_000_000)
    run_dir: str | None = path(None)
    """Receives ``agreement.json``, and ``comparison.json`` with known accuracies; None only prints."""


@dataclass(frozen=True, kw_only=True)
class TuneConfig:
    """``nas-tune``: a search over values of the keys of ``train.py``."""

    run_dir: str = path()
    overrides: list[str]
    """Of ``train.py``, for every trial."""
    search: dict[str, Any]
    """By key: a list of values, or ``{low, high}`` with ``log`` or ``step``."""
    trials: int = number(20, least=1)
    """The study ends with so many that gave a value or were pruned, those of all its processes."""
    study: str = "study"
    storage: str | None = None
    """The URL of a database; None keeps a journal in ``run_dir``, which processes that see this folder share."""
    proposals: str = choice("tpe", among=("tpe", "random"))
    pruning: str = choice("median", among=("median", "none"))
    """By the panel (``loader.holdout``): stops a trial that does worse than the median of the others after as many epochs."""
    seed: int | None = number(None, least=0)
    """Of the proposals."""


@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """``nas-report``: pictures and pages from the files of a run folder, or of a multirun's; one of the two must be given."""

    run_dir: str | None = path(None)
    sweep_dir: str | None = path(None)
    """Given as ``sweep=DIR``."""
    points: int = number(3000, least=100, most=100_000)
    """Candidates that a figure draws at most; of more it draws an evenly spaced sample and says so."""
