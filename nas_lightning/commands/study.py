"""Wires a study: each trial is a run of train.py with the study's values."""

import json
import sys
import time
from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

import hydra
import optuna
import torch
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from optuna.study import StudyDirection

from nas_lightning.commands.configs import TrainConfig
from nas_lightning.commands.outcome import describe_value, finished, value_of, write_outcome
from nas_lightning.commands.prepare import prepare
from nas_lightning.commands.report import write_page
from nas_lightning.commands.run import run_experiment
from nas_lightning.config.build import Builder
from nas_lightning.config.read import read
from nas_lightning.config.schema import TuneConfig
from nas_lightning.console.foreign import values_of
from nas_lightning.console.idle_keys import check_idle
from nas_lightning.console.overrides import quoted
from nas_lightning.devices.launch import check_alone
from nas_lightning.devices.process import limit_threads
from nas_lightning.devices.progress import duration, one_of_many
from nas_lightning.devices.trainer import make_trainer
from nas_lightning.errors import InputError
from nas_lightning.runs.claim import claim_config
from nas_lightning.runs.lock import check_apart
from nas_lightning.runs.sessions import timed_session
from nas_lightning.runs.writing import write_json
from nas_lightning.tuning import Prune, Study, choice

FAILURES = 3
"""Failures in a row that end this process: the values are not what is wrong."""
DIRECTIONS = {"agreement": StudyDirection.MAXIMIZE, "panel_cross_entropy": StudyDirection.MINIMIZE}
"""Direction of the search, by ``returns``."""


def tune(config: TuneConfig) -> None:
    """Runs trials until the study has the configured number over all its processes; writes ``best.json``."""
    folder = Path(config.run_dir)
    choices = {key: choice(key, values) for key, values in config.search.items()}
    if not choices:
        raise InputError("search: must name at least one key")
    returns, metric = _check(config, choices)
    check_apart(folder / "trials")
    study = Study(config, choices, DIRECTIONS[returns], metric)
    failed = 0
    while study.ended() < config.trials:
        failed = 0 if _run_trial(study, config) else failed + 1
        if failed == FAILURES:
            raise InputError(f"run_dir: {folder}: {FAILURES} trials in a row failed; their lines stand above")
    _write_and_print_best(study, folder, returns)


def _check(config: TuneConfig, choices: Mapping[str, Any]) -> tuple[str, str | None]:
    """Prepares a run with each choice's first value, so that mistakes stop before a study exists.

    Returns:
        ``returns``, and for an agreement the score that is compared.
    """
    values = {key: values.choices[0] if hasattr(values, "choices") else values.low for key, values in choices.items()}
    run_config, _ = _compose(config, values, Path(config.run_dir) / "trials" / "check")
    prepare(run_config)
    check_alone()
    if make_trainer(Builder(tuple(run_config.plugins)).build_values(run_config.trainer, "trainer")).world_size > 1:
        raise InputError(
            "overrides: a trial trains on one device (trainer.devices=1); start nas-tune several times with one run_dir instead"
        )
    ranked = run_config.ranking.enabled and (run_config.ranking.known_accuracies or run_config.standalone.enabled)
    if run_config.returns == "agreement" and not ranked:
        raise InputError("overrides: returns=agreement needs ranking.known_accuracies, or standalone; returns=panel_cross_entropy neither")
    predictor = run_config.ranking.predictor
    score = run_config.ranking.score if predictor is None else f"{run_config.ranking.score} ({predictor.name})"
    return run_config.returns, score if run_config.returns == "agreement" else None


def _run_trial(study: Study, config: TuneConfig) -> bool:
    """Runs a trial; whether it gave a value or was pruned."""
    with study.next_trial() as (trial, folder):
        chosen = _in_words(trial.params)
        began, states = time.monotonic(), optuna.trial.TrialState
        value, state = None, states.FAIL
        try:
            run_config, node = _compose(config, trial.params, folder)
            if (done := finished(folder, node)) is not None:
                value = done["value"]
            else:
                limit_threads(run_config.threads)
                run = prepare(run_config)
                claim_config(folder, node)
                before = dict(enumerate(accumulate((stage.epochs for stage in run.stages), initial=0)))
                watching = [Prune(trial, before, run_config.returns == "agreement")] if config.pruning != "none" else []
                with one_of_many(), timed_session(folder, began) as seconds:
                    value = value_of(folder, node, run_experiment(run_config, folder, run, watching))
                    write_outcome(folder, node, value, seconds())
                if run_config.ranking.enabled:
                    write_page(folder)
            if value is None:
                line = "failed: it has no value, as its scores have no order"
            else:
                state, line = states.COMPLETE, describe_value(run_config.returns, value)
        except optuna.TrialPruned as pruned:
            state, line = states.PRUNED, f"pruned {pruned}"
        except (InputError, torch.OutOfMemoryError, MemoryError) as error:  # or a non-finite loss: other values may work
            line = f"failed: {' '.join(str(error).split())[:300] or 'out of memory'}"
        study.inner.tell(trial, value, state=state)
        print(f"trial {trial.number}: {chosen}: {line}, {duration(time.monotonic() - began)}", file=sys.stderr)
        return state != states.FAIL


def _compose(config: TuneConfig, values: dict[str, Any], folder: Path) -> tuple[TrainConfig, dict[str, Any]]:
    """The config of a trial, and the same as plain containers."""
    given = {**values, "run_dir": str(folder)}
    own = [f"{key}={quoted(value) if isinstance(value, str) else json.dumps(value)}" for key, value in given.items()]
    try:
        composed = hydra.compose("config", overrides=[*config.overrides, *own])
        check_idle(composed, values_of([*config.overrides, *own]), config.search)
        node: Any = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    except (HydraException, OmegaConfBaseException) as error:
        reason = " ".join(str(error).splitlines()[0].split())
        raise InputError(f"overrides, search: cannot be composed with train.py's config ({reason})") from error
    return read(TrainConfig, node), node


def _in_words(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}" for key, value in params.items())


def _write_and_print_best(study: Study, folder: Path, returns: str) -> None:
    every = study.inner.get_trials(deepcopy=False)
    trials = [trial for trial in every if trial.state.name == "COMPLETE"]
    if not trials:
        print("every trial was pruned: there is no best one")
        return
    sign = -1 if study.inner.direction.name == "MAXIMIZE" else 1
    ordered = sorted(trials, key=lambda trial: sign * float(trial.value or 0))
    best = ordered[0]
    content = {
        "value": best.value,
        "trial": best.number,
        "of_trials": len(trials),
        "folder": str(study.folder_of(best.number, best.user_attrs)),
        "values": best.params,
    }
    write_json(folder / "best.json", content)
    states = [trial.state.name for trial in every]
    page = write_page(folder, is_sweep=True)
    ahead = "" if len(ordered) == 1 else f"; the next, trial {ordered[1].number}, has {ordered[1].value:.4f}"
    result = f"{describe_value(returns, best.value)}{ahead}"
    print(f"\nThe best of {len(trials)} trials is trial {best.number}: {result}.\n  {_in_words(best.params)}")
    print(f"{states.count('PRUNED')} pruned, {states.count('FAIL')} failed or taken over")
    print(f"{page}written: {folder}/best.json")
