"""Trains a recipe's stages in order, each from the previous one's weights; resumes where an earlier run stopped."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl

from nas_lightning.data.data_module import ImageDataModule
from nas_lightning.data.trained_on import SHA256
from nas_lightning.devices.launch import is_rank_zero
from nas_lightning.devices.trainer import make_trainer
from nas_lightning.errors import InputError
from nas_lightning.runs.reading import read_text
from nas_lightning.supernet.checkpoint import HEADER_KEY, ORIGIN, supernet_weights
from nas_lightning.supernet.families import AnyModule
from nas_lightning.supernet.tensor_files import what_differs
from nas_lightning.training.checkpoints import StageCheckpoints, save_whole
from nas_lightning.training.curves import Curves
from nas_lightning.training.interruption import Interruption, StoppedWithinEpoch, leave_if_asked
from nas_lightning.training.metrics_table import MetricsTable
from nas_lightning.training.module import SupernetTraining
from nas_lightning.training.monitor import ProbeSet
from nas_lightning.training.progress import StageProgress
from nas_lightning.training.restoring import check_resumable, read_last
from nas_lightning.training.stage import Stage
from nas_lightning.training.step_rules import NonFiniteLoss


def _check_origin(saved: Mapping[str, Any], header: Mapping[str, Any], path: Path) -> None:
    """Raises InputError if a stage came of other weights or images than are there now; older checkpoints do not tell."""
    if saved[HEADER_KEY].get(ORIGIN, header.get(ORIGIN)) != header.get(ORIGIN):
        raise InputError(f"{path}: began with other weights than initial_checkpoint names now; give another run_dir, or those of before")
    before, now = (one["data"].get(SHA256) if isinstance(one.get("data"), Mapping) else None for one in (saved[HEADER_KEY], header))
    if before is not None and now is not None and before != now:
        raise InputError(
            f"{path}: was trained on other images than data has now, of which it may know the test images; give another run_dir, or "
            "the images of before"
        )


def train_stages(
    stages: Sequence[Stage],
    supernet: AnyModule,
    make_data: Callable[[int], ImageDataModule],
    run_dir: Path,
    *,
    header: Mapping[str, Any],
    make_arguments: Callable[[], Mapping[str, Any]],
    panel: ProbeSet | None,
    every_epochs: int = 1,
    save_every_steps: int | None = None,
    each_of_panel: bool = False,
    seed: int = 0,
    watching: Sequence[pl.Callback] = (),
) -> None:
    """Trains the supernet in place and writes ``stages/<name>/``; reads finished stages instead of repeating them.

    Args:
        make_data: the data module of a stage, given its index.
        header: describes the checkpoints, and is stored in them.
        make_arguments: pl.Trainer's arguments that belong to no stage, new for each: callbacks and loggers have state.
        panel: candidates to evaluate on the hold-out, if there is one.
        every_epochs: evaluates the panel every N epochs.
        save_every_steps: also writes a checkpoint every N steps.
        seed: of what layers draw in training.
        each_of_panel: gives each candidate of the panel its own curves in TensorBoard.
        watching: other callbacks.
    """
    for place, stage in enumerate(stages):
        folder = run_dir / "stages" / stage.name
        last = folder / "last.ckpt"
        saved = read_last(last)
        if saved is not None:
            _check_origin(saved, header, last)
        if saved is not None and _is_finished(stage, saved):
            _load_weights(supernet, saved, last)
            continue
        if (listed := getattr(stage.sampler, "listed", None)) is not None and is_rank_zero():
            listed.write(folder / "architectures.json")
        trainer_arguments = make_arguments()
        module = SupernetTraining(
            supernet,
            stage,
            clip_norm=trainer_arguments.get("gradient_clip_val"),
            clip_algorithm=trainer_arguments.get("gradient_clip_algorithm"),
            panel=panel,
            seed=seed,
            header={**header, "stage": stage.name, "stage_index": stage.index},
        )
        data = make_data(stage.index)
        interruption = Interruption()
        checkpoints = StageCheckpoints(folder, interruption, stage.keep_every, save_every_steps)
        curves = Curves(folder, each_of_panel)
        trainer = make_trainer(
            trainer_arguments,
            max_epochs=stage.epochs,
            max_steps=-1 if stage.max_steps is None else stage.max_steps,
            check_val_every_n_epoch=every_epochs,
            default_root_dir=folder,
            callbacks=[StageProgress(stages, place), interruption, checkpoints, *watching],
            logger=[
                MetricsTable(folder / "metrics.csv", resume_step=0 if saved is None else saved["global_step"]),
                curves,
            ],
            find_unused_parameters=supernet.skips_parameters,
        )
        _check_monitored(trainer, module)
        if saved is not None:
            check_resumable(saved, module, trainer, last)
        if saved is None and (config := run_dir / "config.yaml").is_file():
            curves.log_text("config", read_text(config))
        with interruption:
            try:
                trainer.fit(module, datamodule=data, ckpt_path=None if saved is None else last, weights_only=True)
            except StoppedWithinEpoch:
                pass
            except NonFiniteLoss as error:
                if not trainer.is_global_zero:
                    raise SystemExit(0) from None  # rank zero reports it
                good = f"the last good checkpoint is {last}" if last.is_file() else "no checkpoint had been written"
                raise InputError(f"stages.{stage.name}: {error}; {good}; try a lower stages.{stage.name}.optimizer.lr") from error
            done = f"{trainer.global_step} of {stage.steps(int(trainer.num_training_batches))} steps"
            if module.ended_early is None and not _is_complete(trainer, stage):
                if not trainer.is_global_zero:
                    raise SystemExit(0)  # rank zero reports it
                raise InputError(
                    f"stages.{stage.name}: was stopped after {done} (trainer.max_time, which each stage has anew, or a callback); "
                    f"give run_dir={run_dir} again to resume"
                )
            if module.ended_early is not None and trainer.is_global_zero:
                print(f"{stage.name}: ended after {done}, by EarlyStopping: {module.ended_early}", file=sys.stderr)
            module.finished = True
            save_whole(trainer, last)
            leave_if_asked(interruption.agree()[0], trainer, last)
        supernet.to("cpu")


def steps_left(stage: Stage, run_dir: Path, steps: int) -> int:
    """Of a stage's ``steps`` those that ``train_stages`` would do; none of a finished one."""
    saved = read_last(run_dir / "stages" / stage.name / "last.ckpt")
    return steps if saved is None else 0 if _is_finished(stage, saved) else max(0, steps - int(saved["global_step"]))


def check_stages(stages: Sequence[Stage], run_dir: Path) -> None:
    """Reads the checkpoints and metrics that ``train_stages`` would, so that a damaged one stops a run early.

    Raises:
        InputError: naming the first damaged file.
    """
    for stage in stages:
        folder = run_dir / "stages" / stage.name
        if (saved := read_last(folder / "last.ckpt")) is not None and not saved[HEADER_KEY]["finished"]:
            MetricsTable(folder / "metrics.csv", resume_step=saved["global_step"])


def _is_complete(trainer: pl.Trainer, stage: Stage) -> bool:
    """Whether a stage ran to its end, counted in epochs: their steps depend on the number of devices."""
    if stage.max_steps is not None and trainer.global_step >= stage.max_steps:
        return True
    return trainer.current_epoch >= stage.epochs and trainer.fit_loop.epoch_loop.batch_progress.is_last_batch


def _is_finished(stage: Stage, saved: Mapping[str, Any]) -> bool:
    return bool(saved[HEADER_KEY]["finished"]) and not _has_grown(stage, saved)


def _has_grown(stage: Stage, saved: Mapping[str, Any]) -> bool:
    """Whether a finished stage has more epochs to train; a stage ended by EarlyStopping never has."""
    if isinstance(saved[HEADER_KEY].get("ended_early"), str):
        return False
    return saved["epoch"] < stage.epochs and (stage.max_steps is None or saved["global_step"] < stage.max_steps)


def _check_monitored(trainer: pl.Trainer, module: SupernetTraining) -> None:
    """Refuses a Lightning callback that monitors a metric never logged; Lightning would report it an epoch later."""
    callbacks = cast(Any, trainer).callbacks
    if any(not type(callback).__module__.startswith(("pytorch_lightning.", "nas_lightning.")) for callback in callbacks):
        return  # the user's own may log more
    for callback in callbacks:
        monitor = getattr(callback, "monitor", None)
        if monitor is not None and monitor not in module.logged:
            known = ", ".join(module.logged)
            raise InputError(f"trainer.callbacks: {type(callback).__name__} monitors {monitor!r}, which no stage logs; known: {known}")


def _load_weights(supernet: AnyModule, saved: Mapping[str, Any], path: Path) -> None:
    weights = supernet_weights(saved)
    if (reason := what_differs(supernet.state_dict(), weights)) is not None:
        raise InputError(f"{path}: does not fit the configured supernet ({reason})")
    if not all(bool(weights[name].isfinite().all()) for name, _ in supernet.named_parameters()):
        raise InputError(f"{path}: holds weights that are not finite; remove it to repeat the stage")
    supernet.load_state_dict(weights)
