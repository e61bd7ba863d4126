"""Config keys with their types, units and legal ranges."""

from dataclasses import dataclass
from typing import Any

from nas_lightning.config import roles
from nas_lightning.config.fields import Checked, Target, choice, number, path, target


@dataclass(frozen=True, kw_only=True)
class SupernetConfig:
    """``supernet``: what the slices share besides their weights."""

    shortcuts: str = choice("always", among=("always", "where_needed"))
    """1x1 convolutions beside every block, or only where a block changes the shape."""
    norm: str = choice("batch", among=("batch", "running"))
    """Statistics that the norms evaluate with: of the images of a pass, or running averages."""
    channels_last: bool = True
    """Memory format of images on a GPU; its effect is not measured yet."""


@dataclass(frozen=True, kw_only=True)
class LoaderConfig(Checked, place="loader"):
    """``loader``: the batches of images."""

    batch_size: int = number(128, least=2)
    """Training images per step and device; the source of the norms' statistics. An epoch's last batch may be shorter."""
    eval_batch_size: int = number(500, least=1)
    """Held-out images per validation batch."""
    holdout: int = number(0, least=0)
    """Training images kept out of training for monitoring, drawn with the seed, the same in every stage."""
    workers: int = number(0, least=0, most=512)
    """Processes that read images; 0 reads in the main process."""
    resident: bool | None = None
    """Whether the training images stay on the training device, so that a step moves only indices; None keeps them on a GPU if
    nothing prevents it."""


@dataclass(frozen=True, kw_only=True)
class PopulationConfig:
    """``population``: the run's list of candidates, from a file or drawn."""

    file: str | None = path(None)
    """A file in the challenge's format; None draws a list."""
    count: int = number(50_000, least=1, most=10_000_000)
    """Candidates to draw."""
    seed: int = number(0, least=0)
    """Seed of the draw."""


@dataclass(frozen=True, kw_only=True)
class MonitorConfig:
    """``monitor``: candidates evaluated on the hold-out while training; needs ``loader.holdout``."""

    every_epochs: int = number(1, least=1)
    """Epochs between two evaluations."""
    candidates: int = number(4, least=0)
    """Candidates drawn with the seed, besides the largest and the smallest."""
    each: bool = False
    """Draws curves of each candidate in TensorBoard, besides the mean over all; ``metrics.csv`` has them anyway."""


@dataclass(frozen=True, kw_only=True)
class RootConfig:
    """``data`` of ``nas-rank``: the checkpoint defines the images and their scaling."""

    root: str | None = path(None)
    """The folder of the images' files."""


@dataclass(frozen=True, kw_only=True)
class CompareConfig:
    """``nas-compare``: agreement of two score tables, with each other and with known accuracies."""

    first: str = path()
    """A ranking's ``scores.csv``."""
    second: str = path()
    """Another one with the same candidates."""
    space: Target = target(roles.SPACE)
    """The space of the candidates."""
    known_accuracies: str | None = path(None)
    """A file in the challenge's format with true accuracies, fractions or percents, to find which table agrees better."""
    resamples: int = number(1000, least=10, most=1_000_000)
    """Bootstrap resamples behind the 95 % intervals."""
    run_dir: str | None = path(None)
    """Receives ``agreement.json``, and ``comparison.json`` with known accuracies; None only prints."""


@dataclass(frozen=True, kw_only=True)
class TuneConfig:
    """``nas-tune``: a search over values of the keys of ``train.py``."""

    run_dir: str = path()
    """Receives ``trials/<number>/``, ``best.json`` and, without a storage, ``study.log``."""
    overrides: list[str]
    """Overrides of ``train.py``, for every trial."""
    search: dict[str, Any]
    """By key: a list of values, or ``{low, high}`` with ``log`` or ``step``."""
    trials: int = number(20, least=1)
    """Number of completed or pruned trials, over all processes, after which the study ends."""
    study: str = "study"
    """Name of the study in the storage."""
    storage: str | None = None
    """The URL of a database; None keeps a journal in ``run_dir``, shared by processes that see this folder."""
    proposals: str = choice("tpe", among=("tpe", "random"))
    """Proposes values with a tree-structured Parzen estimator, or at random."""
    pruning: str = choice("median", among=("median", "none"))
    """By the panel (``loader.holdout``): stops a trial below the median of the others after as many epochs."""
    seed: int | None = number(None, least=0)
    """Seed of the proposals."""


@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """``nas-report``: pictures and pages from the files of a run folder or a multirun; exactly one must be given."""

    run_dir: str | None = path(None)
    """A run; receives ``report.html``, ``report.md`` and ``report/*.png``."""
    sweep_dir: str | None = path(None)
    """A multirun, given as ``sweep=DIR``; receives ``sweep.html``, ``sweep.md`` and ``sweep/*.png``."""
    points: int = number(3000, least=100, most=100_000)
    """Maximum candidates in a figure; of more it draws an evenly spaced sample, with a note."""
