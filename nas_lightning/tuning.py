"""A study searches for the best values of a few keys. Optuna proposes them; a storage shared by several processes
keeps the results.

A trial belongs to the process that holds its folder's lock. If that process died, a new trial with the same values
resumes in the same folder."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytorch_lightning as pl
from filelock import FileLock

from nas_lightning.errors import InputError
from nas_lightning.runs.lock import is_owned

if TYPE_CHECKING:
    import optuna

FOLDER = "folder"
"""User attribute of a trial: its folder."""
ASKED = "asked"
"""User attribute of a study: what its trials depend on."""
STORAGE, MUTEX = "study.log", ".study.lock"


@dataclass(frozen=True)
class Choice:
    """The values that one key may take."""

    key: str
    among: tuple[Any, ...] = ()
    low: float = 0
    high: float = 0
    log: bool = False
    step: float | None = None

    @classmethod
    def parse(cls, key: str, said: Any) -> "Choice":
        """A list of values, or a mapping of low, high and, if wanted, log or step.

        Raises:
            InputError: if it is anything else.
        """
        place = f"search.{key}"
        if isinstance(said, list):
            if not said or any(isinstance(value, list | dict) for value in said):
                raise InputError(f"{place}: {said!r} must be a list of one or more plain values")
            return cls(key, among=tuple(said))
        if not isinstance(said, Mapping) or not {"low", "high"} <= set(said) <= {"low", "high", "log", "step"}:
            raise InputError(f"{place}: {said!r} must be a list of values, or {{low: .., high: ..}} with log: true or step: ..")
        log, step = said.get("log", False), said.get("step")
        numbers = [bound for bound in (said["low"], said["high"], step) if bound is not None]
        if not isinstance(log, bool) or any(isinstance(bound, bool) or not isinstance(bound, int | float) for bound in numbers):
            raise InputError(f"{place}: {dict(said)!r} must hold numbers, and true or false for log")
        if said["low"] > said["high"] or (log and said["low"] <= 0) or (step is not None and (log or step <= 0)):
            raise InputError(f"{place}: {dict(said)!r} must have low <= high, low > 0 with log, and step > 0 without log")
        return cls(key, low=said["low"], high=said["high"], log=log, step=step)

    def suggest(self, trial: "optuna.Trial") -> Any:
        """The trial's value."""
        if self.among:
            return trial.suggest_categorical(self.key, list(self.among))
        if all(isinstance(bound, int) for bound in (self.low, self.high)) and not isinstance(self.step, float):
            return trial.suggest_int(self.key, int(self.low), int(self.high), log=self.log, step=int(self.step or 1))
        return trial.suggest_float(self.key, self.low, self.high, log=self.log, step=self.step)


@dataclass(frozen=True)
class Study:
    """A study in a folder.

    Args:
        folder: receives ``trials/``, and the storage unless another is named.
        choices: the search space.
        inner: Optuna's study.
        make_sampler: given a seed.
        seed: of the proposals.
    """

    folder: Path
    choices: tuple[Choice, ...]
    inner: "optuna.Study"
    make_sampler: "Callable[[int | None], optuna.samplers.BaseSampler]"
    seed: int | None

    @classmethod
    def open(
        cls,
        folder: Path,
        choices: tuple[Choice, ...],
        *,
        name: str,
        direction: Literal["maximize", "minimize"],
        storage: str | None,
        proposals: str,
        pruning: str,
        seed: int | None,
        asked: Mapping[str, Any],
    ) -> "Study":
        """Makes the study, or joins the one in the storage.

        Args:
            storage: the URL of a database; None keeps a journal in the folder.
            proposals: ``tpe`` or ``random``.
            pruning: ``median`` or ``none``.
            seed: of the proposals, which also depend on the trials so far; None takes another each time.
            asked: what else the trials depend on, as plain values; a study of other trials is not joined.

        Raises:
            InputError: if Optuna is missing, the storage cannot be opened, or holds another study.
        """
        try:
            import optuna
            from optuna.storages.journal import JournalFileBackend
        except ImportError:
            raise InputError("nas-tune needs Optuna: pip install 'nas_lightning[tune]'") from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        folder.mkdir(parents=True, exist_ok=True)
        backend = JournalFileBackend(str(folder / STORAGE))
        samplers: dict[str, Any] = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}
        pruners = {"median": optuna.pruners.MedianPruner, "none": optuna.pruners.NopPruner}
        try:
            inner = optuna.create_study(
                storage=optuna.storages.JournalStorage(backend) if storage is None else storage,
                study_name=name,
                direction=direction,
                pruner=pruners[pruning](),
                load_if_exists=True,
            )
        except Exception as error:  # a database's driver may raise anything
            raise InputError(f"storage: {storage or folder / STORAGE} cannot be opened ({' '.join(str(error).split())[:200]})") from error
        if inner.direction.name.lower() != direction:
            raise InputError(f"study: {name} is one to {inner.direction.name.lower()}; returns asks to {direction}; give another name")
        # A journal may move with its folder; in a database, another folder's trials would seem to have dead owners.
        wanted = {**asked, "run_dir": None if storage is None else str(folder.resolve())}
        with FileLock(folder / MUTEX):
            if ASKED not in inner.user_attrs:
                inner.set_user_attr(ASKED, wanted)
        for key, kept in inner.user_attrs[ASKED].items():
            if kept != wanted.get(key):
                raise InputError(f"study: {name} has {key} {kept!r}, not {wanted.get(key)!r}; give another run_dir, or another name")
        return cls(folder, choices, inner, lambda number: samplers[proposals](seed=number), seed)

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
    def next_trial(self, lock: Callable[[Path], Any]) -> Iterator[tuple["optuna.Trial", Path, dict[str, Any]]]:
        """Yields a trial, its locked folder, and its values by key.

        Args:
            lock: a context manager that holds a folder.
        """
        with FileLock(self.folder / MUTEX):  # so that no trial without an owner yet passes for one of a dead owner
            self._take_over()
            begun = len(self.inner.get_trials(deepcopy=False))  # one sampler would repeat itself in every process
            self.inner.sampler = self.make_sampler(None if self.seed is None else self.seed + begun)
            trial = self.inner.ask()
            values = {choice.key: choice.suggest(trial) for choice in self.choices}
            folder = self.folder_of(trial.number, trial.user_attrs)
            held = lock(folder)
            held.__enter__()
        try:
            yield trial, folder, values
        finally:
            held.__exit__(None, None, None)

    def _take_over(self) -> None:
        import optuna

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

    def __init__(self, trial: "optuna.Trial", before: Mapping[int, int], by_agreement: bool) -> None:
        self.trial, self.before, self.by_agreement = trial, dict(before), by_agreement

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Reports after each evaluation of the panel.

        Raises:
            optuna.TrialPruned: if the trial is to stop.
        """
        import optuna

        metrics = trainer.callback_metrics
        losses = [float(value) for key, value in metrics.items() if key.endswith("/cross_entropy")]
        value = metrics.get("panel/kendall") if self.by_agreement else np.mean(losses) if losses else None
        if value is None or trainer.sanity_checking:
            return
        step = self.before[pl_module.stage.index] + trainer.current_epoch + 1  # type: ignore[index]
        self.trial.report(float(value), step)
        if self.trial.should_prune():
            raise optuna.TrialPruned(f"after {step} epochs")
