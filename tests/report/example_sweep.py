"""A multirun folder as files alone, small and made up."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from example_run import agreement, write_json, write_text

STEPS = 20
"""Of an epoch."""
STAGES = {
    "pretrain": {"epochs": 2, "max_steps": None, "sampler": {"_target_": "here.Uniform", "paths": 1}, "optimizer": {"lr": 0.1}},
    "finetune": {"epochs": 1, "max_steps": None, "optimizer": {"lr": 0.01}},
}


def write_job(
    folder: Path,
    seed: int = 0,
    changes: Mapping[str, Any] | None = None,
    kendall: float | None = None,
    loss: float = 2.0,
    seconds: float | None = 90.0,
    stages: int = 2,
) -> Path:
    """The files of one job that a sweep's report reads.

    Args:
        changes: of the config, by dotted key.
        kendall: None leaves no agreement.
        loss: the last one of every stage; each step before it adds a hundredth.
        seconds: None leaves the job unfinished.
        stages: so many left metrics.
    """
    config = yaml.safe_load(yaml.safe_dump({"seed": seed, "stages": STAGES, "ranking": {"score": "cross_entropy"}}, sort_keys=False))
    for key, value in {**(changes or {}), "run_dir": str(folder), "data.root": f"/data/{folder.name}"}.items():
        *parents, last = key.split(".")
        node = config
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value
    write_text(folder / "config.yaml", yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
    command = ["train.py", f"seed={seed}", *(f"{key}={value}" for key, value in (changes or {}).items()), "hydra.mode=RUN"]
    write_json(folder / "environment.json", {"command": command, "commit": "0123456789abcdef", "dirty": False})
    for name in list(config["stages"])[:stages]:
        write_losses(folder, name, STEPS * int(config["stages"][name]["epochs"]), loss)
    if kendall is not None:
        write_json(folder / "ranking/agreement.json", agreement(40, kendall))
    if seconds is not None:
        write_json(folder / "finished.json", {"returns": "agreement", "value": kendall, "seconds": seconds, "config_sha256": "0"})
    return folder


def write_losses(folder: Path, stage: str, steps: int, last: float) -> None:
    """A row a step; the panel at the end of each epoch."""
    lines = ["step,loss,lr,largest/cross_entropy,panel/kendall,top1"]
    for step in range(steps):
        ends = (step + 1) % STEPS == 0
        panel = f"{last + 0.5},{step / 2 / steps},0.3" if ends else ",,"
        lines.append(f"{step},{last + 0.01 * (steps - 1 - step):.6f},0.1,{panel}")
    write_text(folder / f"stages/{stage}/metrics.csv", "\n".join(lines) + "\n")


def write_sweep(folder: Path, evil: str = "") -> Path:
    """Two rates by two joint lengths by three seeds; one job is unfinished.

    Args:
        evil: stands in the names of a job, a key and a value.
    """
    number = 0
    for rate in (0.1, 0.02):
        for paths, epochs in ((1, 4), (4, 1)):
            for seed in range(3):
                changes = {
                    "stages.pretrain.optimizer.lr": rate,
                    "stages.pretrain.sampler.paths": paths,
                    "stages.pretrain.epochs": epochs,
                    **({f"extra.a{evil}": evil if rate == 0.1 else "plain"} if evil else {}),
                }
                is_last = number == 11
                kendall = None if is_last else 0.5 + rate + 0.02 * paths + 0.01 * seed * (-1) ** number
                name = f"{number}{evil.replace('/', '') if number == 0 else ''}"
                write_job(folder / name, seed, changes, kendall, 2 + rate, None if is_last else 90.0 + number, 1 if is_last else 2)
                number += 1
    return folder
