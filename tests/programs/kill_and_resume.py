"""Kills one ``experiment=micro`` again and again, at random instants, and checks that it ends with the bits of one that nobody touched.

    python tests/programs/kill_and_resume.py [--kills 6] [--strikes 9] [--terms 3] [--seed 0] [--folder DIR]

SIGKILL may strike anywhere: stages, truth, ranking. A strike is a SIGKILL, SIGTERM or SIGINT at an exact call of a function, before or
after it: before the first logged row, between the last step and a stage's end, between stages, while truth trains, while a file is renamed.
A signal while a stage trains must leave the checkpoint that the last line names. A run that ends before it is stopped is compared and begun
anew, until all are used up. Exit code 1 on a difference.
"""

import argparse
import itertools
import json
import os
import random
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.programs.preloaded import Preloaded, Started

TEXTS = (
    "stages/*/metrics.csv",
    "stages/*/architectures.json",
    "standalone/accuracies.csv",
    "standalone/known_accuracies.json",
    "ranking/scores.csv",
    "ranking/submission.json",
    "ranking/agreement.json",
    "supernet.safetensors",
)
ARGUMENTS = ("experiment=micro", "save_every_steps=1", "trainer.log_every_n_steps=2")  # so that a run can stop before its first row
LONGEST = 300.0
"""Seconds that any call may take."""


def start(programs: Iterator[Preloaded], folder: Path) -> Started:
    """The run, once it has taken its folder: what is before has nothing to lose."""
    is_new = not folder.exists()
    process = next(programs).start(["train.py", *ARGUMENTS, f"run_dir={folder}"], draws_page=False)
    while not has_begun(process) and not process.wait(0.01):
        pass
    if not has_begun(process):
        sys.exit(f"the run did not start: {process.end(LONGEST)}")
    if is_new and (folder / "supernet.safetensors").exists():
        sys.exit("the run told its folder only when its stages had ended, so that no kill would meet them")
    return process


def has_begun(process: Started) -> bool:
    """Whether a run has told its folder."""
    return process.out.read_text(encoding="utf-8").startswith("run folder:")


def strike(programs: Iterator[Preloaded], folder: Path, counts: dict[str, int], number: int, draw: random.Random) -> str | None:
    """Runs until it strikes itself at a boundary; returns which, None where it ended before.

    Args:
        counts: calls of each place in a whole run, of which this one, which resumes, may have few left.
        number: of the strike; the places take turns.
    """
    place = list(counts)[number % len(counts)]
    call, when = draw.randint(1, max(1, counts[place] // 8)), draw.choice(["before", "after"])
    signum = draw.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
    environment = {**os.environ, "STRIKE_AT": f"{place}:{call}:{when}:{int(signum)}"}
    done = next(programs).start(["tests/programs/struck.py", *ARGUMENTS, f"run_dir={folder}"], draws_page=False, environment=environment)
    _, error = done.end(LONGEST)
    if done.returncode == 0:
        if not (folder / "finished.json").is_file():
            sys.exit(f"a run struck at {environment['STRIKE_AT']} passed for one that had finished")
        return None
    expected = {-signum} if signum == signal.SIGKILL else {128 + signum, -signum}
    if done.returncode not in expected or "Traceback" in error:
        sys.exit(f"a run struck at {environment['STRIKE_AT']} ended with exit code {done.returncode}:\n{error}")
    if done.returncode == 128 + signum:
        check_promise(error, signum)
    return place


def count_calls(programs: Iterator[Preloaded], folder: Path) -> dict[str, int]:
    """How often a whole run passes each place."""
    counts = folder / "counts.json"
    environment = {**os.environ, "COUNT_CALLS": str(counts)}
    finish(next(programs).start(["tests/programs/struck.py", *ARGUMENTS, f"run_dir={folder}"], draws_page=False, environment=environment))
    return dict(json.loads(counts.read_text(encoding="utf-8")))


def finish(process: Started) -> None:
    out, error = process.end(LONGEST)
    if process.returncode != 0:
        sys.exit(f"the run failed with exit code {process.returncode}:\n{out}\n{error}")


def kill_until_done(programs: Iterator[Preloaded], folder: Path, kills: int, longest_wait: float, draw: random.Random) -> int:
    """Kills up to so many times; returns how often. Unless all kills are used up, the run has ended; else it is left to end."""
    for number in range(kills):
        process = start(programs, folder)
        if process.wait(draw.uniform(0, longest_wait)):
            finish(process)
            return number
        process.send(signal.SIGKILL)
        process.end(LONGEST)
    finish(start(programs, folder))
    return kills


def terminate(programs: Iterator[Preloaded], folder: Path, longest_wait: float, draw: random.Random) -> bool:
    """Sends SIGTERM; whether it came before the run had ended."""
    process = start(programs, folder)
    time.sleep(draw.uniform(0, longest_wait))
    process.send(signal.SIGTERM)
    _, error = process.end(LONGEST)
    if process.returncode == 0 and not (folder / "finished.json").is_file():
        sys.exit("a terminated run passed for one that had finished")
    if process.returncode != 128 + signal.SIGTERM:
        return False
    check_promise(error, signal.SIGTERM)
    return True


def check_promise(error: str, signum: int) -> None:
    """A run that a signal ended says so in its last line; where a stage was training, that names a checkpoint of the last step."""
    name, last = signal.Signals(signum).name, error.strip().splitlines()[-1]
    promised = re.fullmatch(rf"stopped by {name}(?: after step (\d+): (.*last\.ckpt))?; give the same run_dir again to go on", last)
    if promised is None:
        sys.exit(f"the last line of a run that {name} ended promises nothing: {last}")
    if promised[2] is not None and (found := torch.load(promised[2], weights_only=True)["global_step"]) != int(promised[1]):
        sys.exit(f"{promised[2]} holds step {found}, but {promised[1]} was promised")


def differences(one: Path, other: Path) -> list[str]:
    """Every file that is not the same to the last bit, checkpoints by what they hold."""
    found = []
    for pattern in TEXTS:
        for name in {path.relative_to(run) for run in (one, other) for path in run.glob(pattern)}:
            first, second = one / name, other / name
            if not (first.is_file() and second.is_file() and first.read_bytes() == second.read_bytes()):
                found.append(str(name))
    found += [str(path.relative_to(other)) for path in other.rglob("*.tmp")]  # left behind by a kill
    for path in one.glob("stages/*/last.ckpt"):
        name = path.relative_to(one)
        kept, again = (torch.load(run / name, weights_only=True) for run in (one, other))
        found += [f"{name}: {key}" for key in ("state_dict", "optimizer_states", "global_step") if not same(kept[key], again[key])]
    return found


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--strikes", type=int, default=9)
    parser.add_argument("--terms", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="keeps the runs there; otherwise they are removed")
    arguments = parser.parse_args()
    draw = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as temporary, Preloaded() as one, Preloaded() as other:
        programs = itertools.cycle((one, other))  # a resumed run has other hashes of texts, as two processes have
        folder = arguments.folder or Path(temporary)
        began = time.monotonic()
        reference = start(programs, folder / "reference")
        work = time.monotonic()
        finish(reference)
        work = time.monotonic() - work
        counts = count_calls(programs, folder / "counted")
        done, runs, terms, tried, strikes = 0, 0, 0, 0, Counter[str]()
        while done < arguments.kills or terms < arguments.terms or strikes.total() < arguments.strikes:
            runs += 1
            if runs > 2 * (arguments.kills + arguments.terms + arguments.strikes):
                sys.exit(f"only {done} kills, {strikes.total()} strikes and {terms} terminations after {runs - 1} runs")
            victim = folder / f"victim_{runs}"
            if done < arguments.kills and runs % 2:
                # On average a kill lets a twentieth of the work be done, so that one run meets many kills, wherever it is.
                done += kill_until_done(programs, victim, arguments.kills - done, work / 10, draw)
            else:
                if terms < arguments.terms:
                    terms += terminate(programs, victim, work / 2, draw)
                while strikes.total() < arguments.strikes:
                    tried += 1  # also where the run ends first, so that no place is waited for
                    if (place := strike(programs, victim, counts, tried, draw)) is None:
                        break
                    strikes[place] += 1
                finish(start(programs, victim))
            if found := differences(folder / "reference", victim):
                sys.exit(f"run {runs} (seed {arguments.seed}) differs from the reference in {', '.join(found)}")
    took = time.monotonic() - began
    places = "; ".join(f"{place}: {count}" for place, count in strikes.items())
    print(
        f"{done} kills, {strikes.total()} strikes at boundaries ({places}) and {terms} terminations in {runs} runs: every weight, row and "
        f"score as in the reference ({took:.0f} s)"
    )


if __name__ == "__main__":
    main()
