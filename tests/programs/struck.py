"""Runs train.py in this process and lets it strike itself at an exact call of a function, however slow the machine is.

    STRIKE_AT=renamed:3:before:9 python tests/programs/struck.py experiment=micro run_dir=DIR

The environment names a place of ``PLACES``, which of its calls, counted from 1, ``before`` or ``after`` it, and the signal.
``COUNT_CALLS=FILE`` writes instead how often each place was called.
"""

import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from hydra.utils import get_object

sys.path.insert(0, str(Path(__file__).parents[2]))

PLACES = {
    "a step of a stage": "nas_lightning.training.module.SupernetTraining.training_step",
    "a step of a stage or of truth": "torch.optim.SGD.step",
    "the end of an epoch, with its checkpoint": "nas_lightning.training.checkpoints.StageCheckpoints.on_train_epoch_end",
    "between the last step and the stage's end": "nas_lightning.training.module.SupernetTraining.on_train_end",
    "between stages": "nas_lightning.training.run_stages.make_trainer",
    "a file is renamed": "pathlib.Path.replace",
    "a file reaches the disk": "os.fsync",
}
"""Boundaries at which a run may be stopped, by the function that is called there."""


def watch(calls: Counter[str], struck: tuple[str, int, str, int] | None) -> None:
    """Replaces the functions by ones that count, and strike where asked."""
    for name, path in PLACES.items():
        owner, attribute = get_object(path.rpartition(".")[0]), path.rpartition(".")[2]
        setattr(owner, attribute, _counted(getattr(owner, attribute), name, calls, struck))


def _counted(function: Any, name: str, calls: Counter[str], struck: tuple[str, int, str, int] | None) -> Any:
    def counted(*arguments: Any, **more: Any) -> Any:
        calls[name] += 1
        is_due = struck is not None and (name, calls[name]) == struck[:2]
        if struck is not None and is_due and struck[2] == "before":
            os.kill(os.getpid(), struck[3])
        result = function(*arguments, **more)
        if struck is not None and is_due and struck[2] == "after":
            os.kill(os.getpid(), struck[3])
        return result

    return counted


def main() -> None:
    """As train.py."""
    from nas_lightning.commands.train import main as train
    from tests.programs.preloaded import draw_no_page

    draw_no_page()
    calls: Counter[str] = Counter()
    said = os.environ.get("STRIKE_AT")
    struck = None
    if said is not None:
        name, call, when, signum = said.split(":")
        struck = (name, int(call), when, int(signum))
    watch(calls, struck)
    try:
        train()
    finally:
        if "COUNT_CALLS" in os.environ:
            Path(os.environ["COUNT_CALLS"]).write_text(json.dumps(calls), encoding="utf-8")


if __name__ == "__main__":
    main()
