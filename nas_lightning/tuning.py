"""A study searches for the best values of a few keys. Optuna proposes them; a storage shared by several processes
keeps the results.

A trial belongs to the process that holds its folder's lock. If that process died, a new trial with the same values
resumes in the same folder."""

import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytorch_lightning as pl
from filelock import FileLock
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection

from nas_lightning.config.schema import TuneConfig
from nas_lightning.errors import InputError
from nas_lightning.runs.lock import is_owned, only_owner

FOLDER = "folder"
"""User attribute of a trial: its folder."""
ASKED = "asked"
"""User attribute of a study: what its trials depend on."""
STORAGE, MUTEX = "study.log", ".study.lock"
SAMPLERS: dict[str, Any] = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}
PRUNERS = {"median": optuna.pruners.MedianPruner, "none": optuna.pruners.NopPruner}


def choice(key: str, values: Any) -> BaseDistribution:
    """What one key may be: one of a list, or from low to high, if wanted with log or step.

    Raises:
        InputError: if ``values`` are neither.
    """
    place = f"search.{key}"
    if isinstance(values, list):
        if not values or any(isinstance(value, list | dict) for value in values):
            raise InputError(f"{place}: {values!r} must be a list of one or more plain values")
        return CategoricalDistribution(values)
    if not isinstance(values, Mapping) or not {"low", "high"} <= set(values) <= {"low", "high", "log", "step"}:
        raise InputError(f"{place}: {values!r} must be a list of values, or {{low: .., high: ..}} with log: true or step: ..")
    named = {name: value for name, value in values.items() if value is not None}
    kinds = {type(value) for name, value in named.items() if name != "log"}
    if not kinds <= {int, float} or not isinstance(named.get("log", False), bool):
        raise InputError(f"{place}: {dict(values)!r} must hold numbers, and true or false for log")
    if not all(math.isfinite(value) for value in named.values()):
        raise InputError(f"{place}: {dict(values)!r} must hold finite numbers")
    if (step := named.get("step")) and named["high"] > named["low"] and not _is_reached(named["low"], named["high"], step):
        raise InputError(f"{place}: high {named['high']} is no whole number of steps of {step} above low {named['low']}")
    try:
        return IntDistribution(**named) if kinds == {int} else FloatDistribution(**named)
    except (TypeError, ValueError):
        raise InputError(f"{place}: {dict(values)!r} must have low <= high, low > 0 with log, and step > 0 without log") from None


def _is_reached(low: float, high: float, step: float) -> bool:
    steps = (high - low) / step
    return math.isclose(steps, round(steps), abs_tol=1e-9)


class Study:
    """A study in ``run_dir``: makes it, or joins the one in the storage.

    Args:
        choices: what each key may be.
        score: that an agreement compares; None for another metric.

    Raises:
        InputError: if the storage cannot be opened, or holds another study.
    """

    def __init__(
        self, config: TuneConfig, choices: Mapping[str, BaseDistribution], direction: StudyDirection, score: str | None = None
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.config, self.choices, self.folder = config, dict(choices), Path(config.run_dir)
        self.folder.mkdir(parents=True, exist_ok=True)
        journal = self.folder / STORAGE
        try:
            self.inner = optuna.create_study(
                storage=config.storage or optuna.storages.JournalStorage(JournalFileBackend(str(journal))),
                study_name=config.study,
                direction=direction,
                pruner=PRUNERS[config.pruning](),
                load_if_exists=True,
            )
        except Exception as error:  # a database's driver may raise anything
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"storage: {config.storage or journal} cannot be opened ({reason})") from error
        if (before := self.inner.direction) != direction:
            asks = f"is one to {before.name.lower()}; returns asks to {direction.name.lower()}"
            raise InputError(f"study: {config.study} {asks}; give another name")
        # A journal may move with its folder; in a database, another folder's trials would seem to have dead owners.
        place = str(self.folder.resolve()) if config.storage else None
        asked = {"overrides": config.overrides, "search": config.search, "run_dir": place, "ranking.score": score}
        with FileLock(self.folder / MUTEX):
            if ASKED not in self.inner.user_attrs:
                self.inner.set_user_attr(ASKED, asked)
        before_asked = self.inner.user_attrs[ASKED]
        for key in {**before_asked, **asked}:
            if (kept := before_asked.get(key)) != asked.get(key):
                raise InputError(f"study: {config.study} has {key} {kept!r}, not {asked.get(key)!r}; give another run_dir, or another name")

    def ended(self) -> int:
        """Trials that gave a value or were pruned."""
        return sum(trial.state.name in ("COMPLETE", "PRUNED") for trial in self.inner.get_trials(deepcopy=False))

    def folder_of(self, number: int, attributes: Mapping[str, Any]) -> Path:
        """The folder of a trial: its own, or that of the trial it resumes."""
        named = str(attributes.get(FOLDER, f"trials/{number:04d}"))
        path = (self.folder / named).resolve()
        if not path.is_relative_to(self.folder.resolve()):
            raise InputError(f"storage: a trial names the folder {named!r}, which lies outside {self.folder}")
        return path

    @contextmanager
    def next_trial(self) -> Iterator[tuple[optuna.Trial, Path]]:
        """Yields a trial, which has its values, and its locked folder."""
        with ExitStack() as held:
            with FileLock(self.folder / MUTEX):  # so that no trial without an owner yet passes for one of a dead owner
                self._take_over()
                begun, seed = len(self.inner.get_trials(deepcopy=False)), self.config.seed
                # One sampler would repeat itself in every process.
                self.inner.sampler = SAMPLERS[self.config.proposals](seed=None if seed is None else seed + begun)
                trial = self.inner.ask(self.choices)
                folder = self.folder_of(trial.number, trial.user_attrs)
                held.enter_context(only_owner(folder))
            yield trial, folder

    def _take_over(self) -> None:
        for trial in self.inner.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
            folder = self.folder_of(trial.number, trial.user_attrs)
            if not is_owned(folder):
                self.inner.tell(trial.number, state=optuna.trial.TrialState.FAIL)
                self.inner.enqueue_trial(trial.params, user_attrs={FOLDER: str(folder.relative_to(self.folder.resolve()))})


class Prune(pl.Callback):
    """Reports the panel's metric to the study while a trial trains; stops a trial below the median of the others.

    Args:
        trial: of the study.
        before: epochs before each stage, by stage.
        by_agreement: reports the panel's Kendall tau; otherwise its mean cross entropy.
    """

    def __init__(self, trial: optuna.Trial, before: Mapping[int, int], by_agreement: bool) -> None:
        self.trial, self.before, self.by_agreement = trial, dict(before), by_agreement

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Reports after each evaluation of the panel.

        Raises:
            optuna.TrialPruned: if the trial is to stop.
        """
        metrics = trainer.callback_metrics
        losses = [float(value) for key, value in metrics.items() if key.endswith("/cross_entropy")]
        value = metrics.get("panel/kendall") if self.by_agreement else np.mean(losses) if losses else None
        if value is None or trainer.sanity_checking:
            return
        step = self.before[pl_module.stage.index] + trainer.current_epoch + 1  # type: ignore[index]
        self.trial.report(float(value), step)
        if self.trial.should_prune():
            raise optuna.TrialPruned(f"after {step} epochs")
