"""The run folder's first files: its config, compared on resume, and the environment."""

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from importlib import metadata
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from nas_lightning.config.roles import as_of_today
from nas_lightning.devices.launch import is_rank_zero
from nas_lightning.errors import InputError, cut
from nas_lightning.runs.made_from import write_source
from nas_lightning.runs.reading import read_json, read_yaml
from nas_lightning.runs.writing import write_json, write_text

MAY_CHANGE_ON_RESUME = (
    *("run_dir", "resume", "dry_run", "returns", "save_every_steps", "trainer", "ranking", "checkpoint", "scores", "plugins"),
    *("budget", "random", "search.evaluations", "search.finalists", "search.baselines"),
    *("standalone.count", "standalone.seeds", "standalone.enabled", "standalone.choose", "standalone.processes"),
    *("monitor.each", "data.root", "data.download", "loader.workers", "loader.resident", "supernet.channels_last"),
)
"""Keys that may change on resume: they decide where and how fast, or what is remade from files."""
MAY_CHANGE_IN_A_STAGE = ".path_execution"
"""Likewise, the same gradients to rounding: an older run has ``sequential`` where today's default is ``fastest``."""
MUST_MATCH_ON_RESUME = tuple(
    f"trainer.{key}"
    for key in ("precision", "gradient_clip_val", "gradient_clip_algorithm", "limit_train_batches", "overfit_batches", "sync_batchnorm")
)
"""Exceptions: these change the result and must match on resume."""
OF_THE_PLACE = ("run_dir", "resume")
"""Keys of where a run is, not what it is."""
IMPLIED_BY_OLDER_FILES = {"across_devices": "same", "rate_scaling": "none"}
"""Values of a stage's keys that are missing from an older run's config."""
REPORTED = ("nas_lightning", "torch", "torchvision", "pytorch-lightning", "hydra-core", "omegaconf", "torchmetrics", "scipy", "numpy")


def claim_config(
    folder: Path, config: Mapping[str, Any], lock: AbstractContextManager[None] | None = None, *, images: str = "", classes: int = 0
) -> None:
    """Writes ``config.yaml`` and ``environment.json``, or checks that the folder belongs to this config.

    The last stage may have more epochs than before, as long as nothing was ranked. All processes compare, one writes.

    Args:
        lock: held while files are compared and written; None if the folder is locked.
        images: on how they were split, for the record; empty if they came split.
        classes: of the images, for the record; 0 to leave them out.

    Raises:
        InputError: naming the keys that differ, with both values.
    """
    present = environment(config) if is_rank_zero() else {}  # takes seconds, for which others need not wait
    present |= {key: value for key, value in (("images", images), ("classes", classes)) if value and present}
    path, record = folder / "config.yaml", folder / "environment.json"
    with lock or nullcontext():
        is_to_write = not path.is_file() or _is_allowed(path, config)
        if not is_rank_zero():
            return
        if is_to_write:
            write_source(path, OmegaConf.to_yaml(OmegaConf.create(dict(config))), [folder / "finished.json"])
        if record.is_file():  # a resumed run keeps its first environment on record
            first = read_json(record)
            present = {**first, "continued": [*(first.get("continued") or []), present]}
        write_json(record, present)


def renew_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Keeps what may change on resume as it was given last, once the folder holds what it asks for: its page tells of that."""
    path = folder / "config.yaml"
    if not (is_rank_zero() and path.is_file()):
        return
    before, given, status = flat(as_of_today(read_yaml(path))), flat(as_of_today(config)), path.stat()
    # A key that only one of them has came or went with a version.
    if any(before[key] != given[key] for key in before.keys() & given.keys() - set(OF_THE_PLACE)):
        write_text(path, OmegaConf.to_yaml(OmegaConf.create(dict(config))))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # when the run began


def check_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Raises InputError, as ``claim_config``, if the folder belongs to another config; writes nothing."""
    if (path := folder / "config.yaml").is_file():
        _is_allowed(path, config)


def _is_allowed(path: Path, config: Mapping[str, Any]) -> bool:
    """Whether the config may take the kept one's place; otherwise they are equal, or it raises.

    It may give more epochs to the last stage, and another recipe of candidates alone while none was trained.
    """
    try:
        kept = read_yaml(path)
        before, wanted = flat(as_of_today(kept)), flat(as_of_today(config))
    except (ValueError, RecursionError) as error:  # InputError is a ValueError
        raise InputError(f"{path}: is not a config ({str(error).removeprefix(f'{path}: ')})") from None
    before["the order of stages"], wanted["the order of stages"] = _stages(kept), _stages(config)
    for key in wanted:
        if key.startswith("stages.") and (last := key.rsplit(".", 1)[1]) in IMPLIED_BY_OLDER_FILES:
            before.setdefault(key, IMPLIED_BY_OLDER_FILES[last])
    differing = [key for key in sorted({*before, *wanted}) if before.get(key) != wanted.get(key) and not may_change(key)]
    if not differing:
        return False
    grown = f"stages.{['', *_stages(config)][-1]}.epochs"
    if differing == [grown] and isinstance(before.get(grown), int) and before[grown] < wanted[grown]:
        if made := next((made for made in ("ranking", "search") if (path.parent / made / "protocol.json").exists()), None):
            change = f"{grown} was {before[grown]}, is {wanted[grown]}"
            raise InputError(f"{path.parent}: {change}, but {made}/ is of the weights before; move it away")
        return True
    trained_alone = any((path.parent / "standalone").glob("accuracies*.csv"))
    if _stages(config) and not trained_alone and all(key.startswith("standalone.") for key in differing):
        return True  # of a supernet's run in which nothing was trained alone by the recipe before
    changes = "; ".join(f"{cut(key)} was {cut(repr(before.get(key)))}, is {cut(repr(wanted.get(key)))}" for key in differing[:5])
    more = f" (and {len(differing) - 5} more)" if len(differing) > 5 else ""
    raise InputError(f"{path.parent}: holds a run with another config: {changes}{more}; give another run_dir")


def environment(config: Mapping[str, Any]) -> dict[str, Any]:
    """The run's environment: commit, versions, device, threads, command line."""
    import torch

    commit = _git("rev-parse", "HEAD")
    return {
        "command": sys.argv,
        "commit": commit,
        "dirty": None if commit is None else bool(_git("status", "--porcelain")),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in REPORTED},
        "machine": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "accelerator": config.get("trainer", {}).get("accelerator"),
        "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        "threads": torch.get_num_threads(),
    }


def _git(*arguments: str) -> str | None:
    here = Path(__file__).parents[2]
    if not (here / "conf" / "config.yaml").is_file():
        return None  # installed from a wheel: the folder may be in another project's repository
    try:
        done = subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None  # no git, or no repository
    return done.stdout.strip()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _stages(config: Mapping[str, Any]) -> list[str]:
    stages = config.get("stages")
    return list(stages) if isinstance(stages, Mapping) else []


def may_change(key: str) -> bool:
    """Whether a key of a config decides neither what is learnt nor how."""
    if key.startswith("stages.") and f".{key.split('.', 2)[-1]}" == MAY_CHANGE_IN_A_STAGE:
        return True
    return key not in MUST_MATCH_ON_RESUME and any(key == free or key.startswith(f"{free}.") for free in MAY_CHANGE_ON_RESUME)


def flat(node: Any, place: str = "") -> dict[str, Any]:
    """The values of a config by their keys, such as ``space.resolution``."""
    if isinstance(node, Mapping):
        return {key: value for name, item in node.items() for key, value in flat(item, f"{place}.{name}" if place else str(name)).items()}
    return {place: node}
