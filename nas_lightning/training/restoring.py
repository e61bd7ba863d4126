"""Reads a stage's ``last.ckpt`` and checks all of it before Lightning restores it; reports any fault in one line."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from nas_lightning.errors import InputError, cut, shorten
from nas_lightning.supernet.checkpoint import HEADER_KEY, is_plain
from nas_lightning.supernet.tensor_files import Damaged, is_whole, read_lightning, what_differs
from nas_lightning.training.module import SupernetTraining

OLDEST_LIGHTNING = (2, 6)
"""Lightning would convert a checkpoint of an older version in place."""
ORDER = ("ready", "started", "processed", "completed")
"""Lightning's counts of an event, in the order of counting."""
COUNTED = ("epoch_progress", "epoch_loop.batch_progress", "epoch_loop.manual_optimization.optim_step_progress")
"""The loops' counts that locate the stage."""


def read_last(path: Path) -> dict[str, Any] | None:
    """The content of a stage's checkpoint; None where there is none.

    Raises:
        InputError: if it is damaged or not one of this project's; ``check_resumable`` checks what only resuming needs.
    """
    if not path.is_file():
        if path.exists():
            raise InputError(f"{path}: is not a file")
        return None
    try:
        content = read_lightning(path)
        _check_header(content)
    except (Damaged, _OddError) as error:
        raise InputError(f"{path}: is not a whole checkpoint of this project ({error}); remove it to repeat the stage") from None
    return content


def check_resumable(saved: Mapping[str, Any], module: SupernetTraining, trainer: pl.Trainer, path: Path) -> None:
    """Compares a stage's checkpoint with what a stage of this config would write.

    Raises:
        InputError: naming what is missing or odd.
    """
    if (reason := what_differs(module.state_dict(), saved["state_dict"])) is not None:
        raise InputError(f"{path}: is of another supernet or another version of this project ({reason}); remove it to repeat the stage")
    try:
        _check_finite(saved["state_dict"])
        _check_counts(saved["state_dict"])
        _check_version(saved.get("pytorch-lightning_version"))
        _check_loops(saved, trainer)
        _check_optimizer(saved, module, skips_steps=getattr(trainer.precision_plugin, "scaler", None) is not None)
        if saved.get("lr_schedulers") != []:
            raise _OddError("lr_schedulers", "must be an empty list")
        _check_states(saved, trainer)
    except _OddError as error:
        raise InputError(f"{path}: cannot be resumed from ({error}); remove it to repeat the stage") from None


class _OddError(Exception):
    """Something in a checkpoint is not as this project writes it."""

    def __init__(self, place: str, rule: str) -> None:
        super().__init__(f"{cut(place)}: {rule}")


def _check_header(content: Mapping[str, Any]) -> None:
    header = content.get(HEADER_KEY)
    if not isinstance(header, dict) or not is_plain(header):
        raise _OddError(HEADER_KEY, "must be a mapping of plain values")
    if not isinstance(header.get("finished"), bool):
        raise _OddError(f"{HEADER_KEY}.finished", f"{shorten(header.get('finished'))} must be true or false")
    if not isinstance(ended := header.get("ended_early"), str | None):
        raise _OddError(f"{HEADER_KEY}.ended_early", f"{shorten(ended)} must be a reason, or nothing")
    if not _is_count(devices := header.get("devices", 1)) or devices == 0:
        raise _OddError(f"{HEADER_KEY}.devices", f"{shorten(devices)} must be a number of devices")
    for key in ("epoch", "global_step"):
        if not _is_count(content.get(key)):
            raise _OddError(key, f"{shorten(content.get(key))} must be an integer of at least 0")


def _check_finite(state: Mapping[str, Tensor]) -> None:
    for name, value in state.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise _OddError(f"state_dict.{name}", "must be finite")


def _check_counts(state: Mapping[str, Tensor]) -> None:
    for name, value in state.items():
        if not value.is_floating_point() and bool((value < 0).any()):
            raise _OddError(f"state_dict.{name}", "must be counts of at least 0")


def _check_version(version: object) -> None:
    match = re.match(r"(\d{1,4})\.(\d{1,4})(\.\d{1,4})?(\.?(a|b|rc|dev|post)\d{1,8})*$", version) if isinstance(version, str) else None
    if match is None or (int(match[1]), int(match[2])) < OLDEST_LIGHTNING:
        raise _OddError("pytorch-lightning_version", f"{shorten(version)} must be a version from {'.'.join(map(str, OLDEST_LIGHTNING))}")


def _check_loops(saved: Mapping[str, Any], trainer: pl.Trainer) -> None:
    loops = saved.get("loops")
    saved_loop = loops.get("fit_loop") if isinstance(loops, dict) else None
    if not isinstance(saved_loop, dict):
        raise _OddError("loops.fit_loop", "is missing")
    expected = trainer.fit_loop.state_dict()
    expected["state_dict"] = {"combined_loader": [{}]}  # the loader's; without it an epoch would restart
    _check_alike(expected, saved_loop, "loops.fit_loop")
    for name in COUNTED:
        _check_order(saved_loop[name], f"loops.fit_loop.{name}")
    epochs, batches = (saved_loop[name] for name in ("epoch_progress", "epoch_loop.batch_progress"))
    steps = saved_loop["epoch_loop.manual_optimization.optim_step_progress"]["total"]
    for key, counted in (
        ("epoch", epochs["current"]["completed"]),
        ("global_step", steps["completed"]),
        ("global_step", batches["total"]["processed"]),  # a batch is a step
    ):
        if saved[key] != counted:
            raise _OddError(key, f"is {saved[key]}, but the loops have counted {counted}")
    if batches["is_last_batch"] and batches["current"]["ready"] != batches["current"]["completed"]:
        raise _OddError("loops.fit_loop.epoch_loop.batch_progress.is_last_batch", "is true, but a batch goes on")
    if trainer.max_epochs is not None and 0 <= trainer.max_epochs < saved["epoch"]:
        raise _OddError("epoch", f"is {saved['epoch']}, but the stage has {trainer.max_epochs}")


def _check_order(progress: Mapping[str, Any], place: str) -> None:
    """Checks that no count exceeds the one before it in ``ORDER``, and that at most one event is unfinished."""
    total, current = ([progress[name][event] for event in ORDER if event in progress[name]] for name in ("total", "current"))
    for counts in (total, current):
        if counts != sorted(counts, reverse=True) or counts[0] - counts[-1] > 1:
            raise _OddError(place, f"{', '.join(map(str, counts))} events {', '.join(ORDER)} cannot be")
    if any(some > all_ for some, all_ in zip(current, total, strict=True)):
        raise _OddError(place, f"{current[0]} of {total[0]} events cannot be the current ones")


def _check_optimizer(saved: Mapping[str, Any], module: SupernetTraining, *, skips_steps: bool) -> None:
    """Compares with the state that a new optimizer of any class has after one step on zeros.

    Args:
        skips_steps: whether the first steps may have changed nothing, as with the scaled gradients of 16-mixed.
    """
    states = saved.get("optimizer_states")
    if not isinstance(states, list) or len(states) != 1 or not isinstance(states[0], dict):
        raise _OddError("optimizer_states", "must be a list of one mapping")
    parameters = [nn.Parameter(torch.zeros_like(weight, device="cpu")) for weight in module.supernet.parameters()]
    optimizer = module.stage.optimizer(parameters)
    before = optimizer.state_dict()["param_groups"]
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    expected, state = optimizer.state_dict(), states[0]
    steps = saved["global_step"] - int(saved["state_dict"]["skipped"])
    if (steps == 0 or skips_steps) and state.get("state") == {}:  # no step has changed the weights yet
        expected = {**expected, "state": {}}
    _check_alike(expected, state, "optimizer_states.0")
    for index, (old, new, group) in enumerate(zip(before, expected["param_groups"], state["param_groups"], strict=True)):
        for key in old.keys() - {"lr"}:  # lr is the schedule's; keys that a step leaves alone are the config's
            if old[key] == new[key] != group[key]:
                raise _OddError(f"optimizer_states.0.param_groups.{index}.{key}", f"{shorten(group[key])} is not {shorten(new[key])}")
        if not group["lr"] >= 0:
            raise _OddError(f"optimizer_states.0.param_groups.{index}.lr", f"{shorten(group['lr'])} must be at least 0")


def _check_states(saved: Mapping[str, Any], trainer: pl.Trainer) -> None:
    """Checks the states of callbacks, and of the precision plugin if it has one."""
    callbacks = saved.get("callbacks")
    if not isinstance(callbacks, dict) or not all(isinstance(name, str) for name in callbacks):
        raise _OddError("callbacks", "must be a mapping by names")
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        is_own = type(callback).__module__.startswith(("pytorch_lightning.", "nas_lightning."))  # others are unknown
        if is_own and (state := callbacks.get(callback.state_key)) is not None:
            _check_alike(callback.state_dict(), state, f"callbacks.{callback.state_key}", is_new=True)
    name = type(trainer.precision_plugin).__qualname__
    if name in saved:
        _check_alike(trainer.precision_plugin.state_dict(), saved[name], name, is_new=True)
    if "native_amp_scaling_state" in saved:  # of Lightning before 1.6
        raise _OddError("native_amp_scaling_state", "must not be there")


def _check_alike(expected: Any, found: Any, place: str, *, is_new: bool = False) -> None:
    """Raises _OddError at the first value of another kind, or container of other names.

    Args:
        is_new: whether anything may stand where the expected value is None or empty.
    """
    if is_new and (expected is None or expected == {} or expected == []):
        return
    if isinstance(expected, dict):
        if not isinstance(found, dict) or found.keys() != expected.keys():
            names = [*(found.keys() ^ expected.keys())] if isinstance(found, dict) else [found]
            raise _OddError(place, f"{shorten(names[0])} is {'missing or unknown' if isinstance(found, dict) else 'no mapping'}")
        for name, value in expected.items():
            _check_alike(value, found[name], f"{place}.{name}", is_new=is_new)
    elif isinstance(expected, list | tuple):
        if type(found) is not type(expected) or len(found) != len(expected):
            raise _OddError(place, f"{shorten(found)} is not {shorten(expected)}")
        for index, value in enumerate(expected):
            _check_alike(value, found[index], f"{place}.{index}", is_new=is_new)
    elif isinstance(expected, Tensor):
        if not is_whole(found) or what_differs({place: expected}, {place: found}) is not None:
            raise _OddError(place, f"must be {tuple(expected.shape)} of {expected.dtype}")
        starts_finite = bool(expected.isfinite().all())  # EarlyStopping's best score begins at infinity
        if found.is_floating_point() and starts_finite and not bool(found.isfinite().all()):
            raise _OddError(place, "must be finite")
    elif isinstance(expected, bool) or expected is None or isinstance(expected, str):
        if type(found) is not type(expected):
            raise _OddError(place, f"{shorten(found)} must be as {shorten(expected)}")
    elif isinstance(expected, int) and not _is_count(found):
        raise _OddError(place, f"{shorten(found)} must be an integer of at least 0")
    elif isinstance(expected, float) and not (isinstance(found, int | float) and not isinstance(found, bool) and abs(found) < 1e300):
        raise _OddError(place, f"{shorten(found)} must be a finite number")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53
