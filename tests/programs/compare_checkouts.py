"""Shows that a change of the code changes no result: runs two checkouts side by side and compares their files to the last bit.

    python tests/programs/compare_checkouts.py OLD NEW [--data DIR --checkpoint FILE --list FILE] [--folder DIR]

Compared are weights, accuracies and scores of micro, of quickstart, and of micro on two processes; of a micro run that OLD began and NEW
resumed; of OLD's finished run ranked anew by NEW; with ``--checkpoint`` the scores that both give to a list. Exit code 1 on a difference.
"""

import argparse
import csv
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file

RUNS = {
    "micro": ["experiment=micro"],
    "quickstart": [],
    "two processes": ["experiment=micro", "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "standalone=none"],
}
ALONE = "ranking.prefix_memory=0"
"""Nothing is shared: which candidates are scored beside one another changes no bit."""
TABLES = ("standalone/accuracies.csv", "ranking/scores.csv")
STRIKE = "a step of a stage:7:after:9"
"""Kills the run in its second epoch."""


def python(checkout: Path, program: str, *arguments: str, code: int = 0, **environment: str) -> None:
    """Runs a program of a checkout with the checkout's own package."""
    done = subprocess.run(
        [sys.executable, program, *arguments],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != code:
        sys.exit(f"{checkout}: {program} {' '.join(arguments)} ended with exit code {done.returncode}:\n{done.stderr}")


def rank(checkout: Path, *arguments: str) -> None:
    """``nas-rank`` of a checkout."""
    python(checkout, "-c", "from nas_lightning.commands.rank import main; main()", *arguments)


def differences(old: Path, new: Path) -> list[str]:
    """What is not the same in two run folders; a column that only one table has is none."""
    found = []
    if (weights := old / "supernet.safetensors").is_file():
        first, second = load_file(weights), load_file(new / "supernet.safetensors")
        found += [name for name in first.keys() | second.keys() if name not in first or not torch.equal(first[name], second.get(name))]
    for table in TABLES:
        if not (old / table).is_file():
            continue
        first, second = (list(csv.DictReader((run / table).read_text().splitlines())) for run in (old, new))
        shared = first[0].keys() & second[0].keys()
        if [[row[key] for key in shared] for row in first] != [[row[key] for key in shared] for row in second]:
            found.append(table)
    return found


def report(name: str, old: Path, new: Path) -> bool:
    """Prints whether two run folders are the same."""
    found = differences(old, new)
    print(f"{name}: {'DIFFERS in ' + ', '.join(found) if found else 'the same'}", flush=True)
    return not found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--data", type=Path, help="folder of the images that the checkpoint was trained on")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--list", type=Path)
    parser.add_argument("--folder", type=Path, help="keeps the runs there; otherwise they are removed")
    arguments = parser.parse_args()
    old, new = arguments.old.resolve(), arguments.new.resolve()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.folder or Path(temporary)).resolve()
        same = []
        for name, overrides in RUNS.items():
            places = [folder / checkout / name.replace(" ", "_") for checkout in ("old", "new")]
            for checkout, place in zip((old, new), places, strict=True):
                python(checkout, "train.py", *overrides, ALONE, f"run_dir={place}")
            same.append(report(name, *places))
        resumed = folder / "resumed"
        micro = ["experiment=micro", ALONE, f"run_dir={resumed}"]
        struck = "tests/programs/struck.py" if (old / "tests/programs/struck.py").is_file() else "tests/struck.py"
        python(old, struck, *micro, "save_every_steps=1", code=-signal.SIGKILL, STRIKE_AT=STRIKE)
        python(new, "train.py", *micro, "save_every_steps=1")
        same.append(report("begun by the old code, resumed by the new", folder / "old/micro", resumed))
        python(new, "train.py", "experiment=micro", ALONE, f"run_dir={folder}/old/micro", "ranking.resamples=50")
        same.append(report("finished by the old code, ranked again by the new", folder / "new/micro", folder / "old/micro"))
        if arguments.checkpoint is not None:
            places = [folder / checkout / "ranked" for checkout in ("old", "new")]
            given = [
                f"checkpoint={arguments.checkpoint.resolve()}",
                f"ranking.list={arguments.list.resolve()}",
                "ranking.images=500",
                ALONE,
            ]
            for checkout, place in zip((old, new), places, strict=True):
                rank(checkout, *given, f"data.root={arguments.data.resolve()}", f"run_dir={place}")
            same.append(report("scores by the checkpoint", *places))
    sys.exit(0 if all(same) else 1)


if __name__ == "__main__":
    main()
