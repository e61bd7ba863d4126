"""Reads a stage's ``last.ckpt`` and compares it with what the stage would write, before Lightning restores it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from nas_lightning.errors import InputError, shorten
from nas_lightning.supernet.checkpoint import HEADER_KEY, is_plain
from nas_lightning.supernet.tensor_files import Damaged, is_whole, read_lightning, what_differs
from nas_lightning.training.module import SupernetTraining

VERSION = "pytorch-lightning_version"
CALLBACKS = "callbacks"


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
        _check_alike({HEADER_KEY: {"finished": False}, "epoch": 0, "global_step": 0}, content)
        if not is_plain(content[HEADER_KEY]):
            raise Damaged(f"{HEADER_KEY}: must be a mapping of plain values")
    except Damaged as error:
        raise InputError(f"{path}: is not a whole checkpoint of this project ({error}); remove it to repeat the stage") from None
    return content


def check_resumable(saved: Mapping[str, Any], module: SupernetTraining, trainer: pl.Trainer, path: Path) -> None:
    """Compares a stage's checkpoint with what a stage of this config would write.

    Raises:
        InputError: naming what is missing or odd.
    """
    if (reason := what_differs(module.state_dict(), saved["state_dict"])) is not None:
        raise InputError(f"{path}: is of another supernet or another version of this project ({reason}); remove it to repeat the stage")
    states, given = (saved[CALLBACKS], vars(trainer)["callbacks"]) if isinstance(saved.get(CALLBACKS), dict) else ({}, [])
    known = [callback for callback in given if type(callback).__module__.startswith(("pytorch_lightning.", "nas_lightning."))]
    before, after = _optimizer_states(module)
    expected = {
        "state_dict": module.state_dict(),
        # Without the loader's state, which is empty, an epoch would restart.
        "loops": {"fit_loop": {**trainer.fit_loop.state_dict(), "state_dict": {"combined_loader": [{}]}}},
        "optimizer_states": [after],
        "lr_schedulers": [],
        CALLBACKS: {callback.state_key: callback.state_dict() for callback in known if callback.state_key in states},
        VERSION: pl.__version__,
    }
    if saved["global_step"] == saved["state_dict"]["skipped"] or getattr(trainer.precision_plugin, "scaler", None) is not None:
        after["state"] = {}  # perhaps no step has changed the weights yet: 16-mixed skips the first ones
    try:
        _check_alike(expected, saved)
        for index, (old, new, group) in enumerate(
            zip(before["param_groups"], after["param_groups"], saved["optimizer_states"][0]["param_groups"], strict=True)
        ):
            for key in old.keys() - {"lr"}:  # lr is the schedule's; keys that a step leaves alone are the config's
                if old[key] == new[key] != group[key]:
                    raise Damaged(f"optimizer_states.0.param_groups.{index}.{key}: {shorten(group[key])} is not {shorten(new[key])}")
        batches = saved["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        if batches["is_last_batch"] and batches["current"]["ready"] != batches["current"]["completed"]:
            raise Damaged("loops.fit_loop.epoch_loop.batch_progress.is_last_batch: is true, but a batch goes on")
        if not re.match(r"\d+\.\d+", saved[VERSION]):
            raise Damaged(f"{VERSION}: {shorten(saved[VERSION])} is no version")
    except Damaged as error:
        raise InputError(f"{path}: cannot be resumed from ({error}); remove it to repeat the stage") from None
    epoch, devices = saved["loops"]["fit_loop"]["epoch_progress"]["current"], saved[HEADER_KEY].get("devices", 1)
    if epoch["started"] > epoch["processed"] and devices != trainer.world_size:
        raise InputError(
            f"{path}: was written within an epoch on {devices} devices, whose images cannot be dealt out anew to {trainer.world_size}; "
            f"give trainer.devices={devices} until the epoch has ended"
        )


def _optimizer_states(module: SupernetTraining) -> tuple[dict[str, Any], dict[str, Any]]:
    """The states of a new optimizer, and of one that has taken a step on zeros."""
    parameters = [nn.Parameter(torch.zeros_like(weight, device="cpu")) for weight in module.supernet.parameters()]
    optimizer = module.stage.optimizer(parameters)
    before = optimizer.state_dict()
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    return before, optimizer.state_dict()


def _check_alike(expected: Any, found: Any, place: str = "") -> None:
    """Raises Damaged at the first value of another kind; anything may stand for None, and beside the expected names."""
    if isinstance(expected, dict):
        if not isinstance(found, dict):
            raise Damaged(f"{place}: {shorten(found)} must be a mapping")
        for name, value in expected.items():
            where = f"{place}.{name}".removeprefix(".")
            if name not in found:
                raise Damaged(f"{where}: is missing")
            _check_alike(value, found[name], where)
    elif isinstance(expected, list | tuple):
        if type(found) is not type(expected) or (expected and len(found) != len(expected)):
            raise Damaged(f"{place}: {shorten(found)} must be {shorten(expected)}")
        for index, value in enumerate(expected):
            _check_alike(value, found[index], f"{place}.{index}")
    elif isinstance(expected, Tensor):
        if not is_whole(found) or what_differs({place: expected}, {place: found}) is not None:
            raise Damaged(f"{place}: must be {tuple(expected.shape)} of {expected.dtype}")
        is_odd = ~found.isfinite() if found.is_floating_point() else found < 0
        if bool(is_odd.any()) and bool(expected.isfinite().all()):  # EarlyStopping's best score begins at infinity
            raise Damaged(f"{place}: must be finite, and a count at least 0")
    elif isinstance(expected, bool | str):
        if type(found) is not type(expected):
            raise Damaged(f"{place}: {shorten(found)} must be as {shorten(expected)}")
    elif isinstance(expected, int):
        if type(found) is not int or not 0 <= found < 2**53:
            raise Damaged(f"{place}: {shorten(found)} must be an integer of at least 0")
    elif isinstance(expected, float) and not (type(found) in (int, float) and abs(found) < 1e300):
        raise Damaged(f"{place}: {shorten(found)} must be a finite number")
