"""A study: which values of a few keys are best. Optuna proposes, a storage that several processes share keeps what came of it.

A trial belongs to the process that holds its folder's lock. One whose process died is taken over: a new trial with the same values goes
on in the same folder.
"""

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
"""The user attribute of a trial that names its folder."""
ASKED = "asked"
"""The user attribute of a study that says what its trials are."""
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
            if not said or any(isinstance(one, list | dict) for one in said):
                raise InputError(f"{place}: {said!r} must be a list of one or more plain values")
            return cls(key, among=tuple(said))
        if not isinstance(said, Mapping) or not {"low", "high"} <= set(said) <= {"low", "high", "log", "step"}:
            raise InputError(f"{place}: {said!r} must be a list of values, or {{low: .., high: ..}} with log: true or step: ..")
        log, step = said.get("log", False), said.get("step")
        numbers = [one for one in (said["low"], said["high"], step) if one is not None]
        if not isinstance(log, bool) or any(isinstance(one, bool) or not isinstance(one, int | float) for one in numbers):
            raise InputError(f"{place}: {dict(said)!r} must hold numbers, and true or false for log")
        if said["low"] > said["high"] or (log and said["low"] <= 0) or (step is not None and (log or step <= 0)):
            raise InputError(f"{place}: {dict(said)!r} must have low <= high, low > 0 with log, and step > 0 without log")
        return cls(key, low=said["low"], high=said["high"], log=log, step=step)

    def suggest(self, trial: "optuna.Trial") -> Any:
        """The trial's value."""
        if self.among:
            return trial.suggest_categorical(self.key, list(self.among))
        if all(isinstance(one, int) for one in (self.low, self.high)) and not isinstance(self.step, float):
            return trial.suggest_int(self.key, int(self.low), int(self.high), log=self.log, step=int(self.step or 1))
        return trial.suggest_float(self.key, self.low, self.high, log=self.log, step=self.step)


@dataclass(frozen=True)
class Study:
    """A study in a folder.

    Args:
        folder: receives the storage, where none is named, and ``trials/``.
        choices: what is searched.
        inner: Optuna's.
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
        """Makes the study, or joins the one that the storage holds.

        Args:
            storage: the URL of a database; None keeps a journal in the folder.
            proposals: ``tpe`` or ``random``.
            pruning: ``median`` or ``none``.
            seed: of the proposals, which depend on it, on how many trials there are, and on what these gave; None takes another each time.
            asked: what else its trials depend on, plain; a study of other trials is not joined.

        Raises:
            InputError: if Optuna is not installed, the storage cannot be opened, or holds a study of other trials, or of another folder.
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
        # A journal lies in its folder and may move with it; in a database another folder's trials would look as if their owners had died.
        said = {**asked, "run_dir": None if storage is None else str(folder.resolve())}
        with FileLock(folder / MUTEX):
            if ASKED not in inner.user_attrs:
                inner.set_user_attr(ASKED, said)
        for key, kept in inner.user_attrs[ASKED].items():
            if kept != said.get(key):
                raise InputError(f"study: {name} has {key} {kept!r}, not {said.get(key)!r}; give another run_dir, or another name")
        return cls(folder, choices, inner, lambda number: samplers[proposals](seed=number), seed)

    def ended(self) -> int:
        """Trials that gave a value or were pruned."""
        return sum(trial.state.name in ("COMPLETE", "PRUNED") for trial in self.inner.get_trials(deepcopy=False))

    def folder_of(self, number: int, attributes: Mapping[str, Any]) -> Path:
        """Of a trial: its own, or that of the one it goes on with."""
        named = str(attributes.get(FOLDER, f"trials/{number:04d}"))
        path = (self.folder / named).resolve()
        if not path.is_relative_to(self.folder.resolve()):
            raise InputError(f"storage: a trial names the folder {named!r}, which lies outside {self.folder}")
        return path

    @contextmanager
    def next_trial(self, lock: Callable[[Path], Any]) -> Iterator[tuple["optuna.Trial", Path, dict[str, Any]]]:
        """A trial with its folder, held, and its values by key.

        Args:
            lock: a context manager that holds a folder.
        """
        with FileLock(self.folder / MUTEX):  # no process may take a trial that has no owner yet for one whose owner died
            self._take_over()
            begun = len(self.inner.get_trials(deepcopy=False))  # a sampler that was made once would repeat itself in every process
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

        for one in self.inner.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
            folder = self.folder_of(one.number, one.user_attrs)
            if not is_owned(folder):
                self.inner.tell(one.number, state=optuna.trial.TrialState.FAIL)
                self.inner.enqueue_trial(one.params, user_attrs={FOLDER: str(folder.relative_to(self.folder.resolve()))})


class Prune(pl.Callback):
    """Tells the study what the panel says while a trial trains, and stops one that does worse than half of the others did by then.

    Args:
        trial: the study's.
        before: epochs of the stages before each stage, by stage.
        by_agreement: follows the panel's Kendall tau; otherwise its mean cross entropy.
    """

    def __init__(self, trial: "optuna.Trial", before: Mapping[int, int], by_agreement: bool) -> None:
        self.trial, self.before, self.by_agreement = trial, dict(before), by_agreement

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Reports after each evaluation of the panel.

        Raises:
            optuna.TrialPruned: if the trial is to stop.
        """
        import optuna

        found = trainer.callback_metrics
        losses = [float(value) for key, value in found.items() if key.endswith("/cross_entropy")]
        value = found.get("panel/kendall") if self.by_agreement else np.mean(losses) if losses else None
        if value is None or trainer.sanity_checking:
            return
        step = self.before[pl_module.stage.index] + trainer.current_epoch + 1  # type: ignore[index]
        self.trial.report(float(value), step)
        if self.trial.should_prune():
            raise optuna.TrialPruned(f"after {step} epochs")
