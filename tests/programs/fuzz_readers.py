"""Feeds the readers of files with what coverage-guided fuzzing finds, and lists every error that is no InputError.

    pip install atheris
    python tests/programs/fuzz_readers.py --minutes 10 [--folder DIR]

Starts from whole files of every kind. Not a test: it takes as long as it is given. What it found is a test beside its reader.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["nas_lightning"]):
    import numpy as np
    import torch

    from nas_lightning.errors import InputError
    from nas_lightning.report.run import read_run
    from nas_lightning.report.write import make_parts
    from nas_lightning.runs.claim import claim_config
    from nas_lightning.runs.reading import read_json
    from nas_lightning.scoring.predict import _write_losses, read_losses
    from nas_lightning.scoring.protocol import claim
    from nas_lightning.scoring.table import Score, ScoreTable, read_parts, read_scores, write_part
    from nas_lightning.space import Population, ResidualStructure, SearchSpace, read_accuracies
    from nas_lightning.standalone.truth import _read as read_truth
    from nas_lightning.supernet import Supernet
    from nas_lightning.supernet.checkpoint import load_supernet, make_header, save_supernet
    from nas_lightning.training.restoring import read_last

SPACE = SearchSpace("fuzzed", (1, 1), (4, 4), 2, 8)
LISTED = Population.draw(SPACE, 4, 0)
HEADER = {"name": "digits", "arguments": {}, "mean": [0.5], "std": [0.25]}

Reader = Callable[[Path], object]
READERS: dict[str, Reader] = {
    "list.json": lambda path: Population.read(path, SPACE),
    "known.json": lambda path: read_accuracies(path, SPACE),
    "scores.csv": lambda path: check_finite(read_scores(path, SPACE)),
    "0-3.csv": lambda path: check_finite(read_parts(path.parent, SPACE)),
    "0.safetensors": lambda path: read_losses(path.parent, LISTED.architectures),
    "accuracies.csv": lambda path: read_truth(path, LISTED),
    "protocol.json": lambda path: claim(path.parent, read_json(path)),
    "config.yaml": lambda path: claim_config(path.parent, {"seed": 0, "stages": {}}),
    "supernet.safetensors": load_supernet,
    "last.ckpt": load_supernet,
    "stage.ckpt": read_last,
    "agreement.json": lambda path: report(path, "ranking/agreement.json"),
    "metrics.csv": lambda path: report(path, "stages/pretrain/metrics.csv"),
}


def check_finite(scores: dict[Any, Score]) -> None:
    assert all(np.isfinite(one).all() for one in scores.values()), "a score is not finite"


def report(path: Path, place: str) -> None:
    """A report of a run folder in which one file is the fuzzed one."""
    run = path.parent / "run"
    (run / place).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, run / place)
    if not (run / "ranking/scores.csv").exists():
        (run / "ranking").mkdir(exist_ok=True)
        shutil.copy(path.parent / "whole_scores.csv", run / "ranking/scores.csv")
    make_parts(read_run(run), 100)


def make_corpus(folder: Path) -> dict[str, bytes]:
    """A whole file of every kind."""
    scores = [Score(0.5 + row / 10, 0.9, 1.0 + row) for row in range(len(LISTED))]
    table = ScoreTable.of(LISTED, scores, ResidualStructure(SPACE, 3, 1))
    supernet = Supernet(SPACE, classes=3, channels=1, seed=0)
    LISTED.write(folder / "list.json")
    LISTED.write(folder / "known.json", [0.1, 0.2, 0.3, 0.4])
    table.write(folder / "scores.csv")
    write_part(folder, 0, LISTED.candidates, scores)
    _write_losses(folder, 0, LISTED.candidates, torch.rand(4, 5))
    (folder / "accuracies.csv").write_text(f"name,architecture,seed,accuracy\na,{LISTED[0].text},0,0.5\n")
    (folder / "protocol.json").write_text('{"images": 3, "dtype": "32-true"}')
    (folder / "config.yaml").write_text("seed: 0\nstages: {}\n")
    (folder / "agreement.json").write_text('{"n": 3, "scores": {"top1": {"kendall": {"value": 0.5, "low": 0.1, "high": 0.9}}}}')
    (folder / "metrics.csv").write_text("step,loss,lr\n0,2.5,0.1\n1,2.25,0.05\n")
    header = make_header(supernet, HEADER)
    save_supernet(folder / "supernet.safetensors", supernet, header)
    weights = {f"supernet.{name}": tensor for name, tensor in supernet.state_dict().items()}
    torch.save({"state_dict": weights, "global_step": 3, "nas_lightning": header}, folder / "last.ckpt")
    stage = {**header, "finished": False, "devices": 1}
    torch.save({"state_dict": weights, "epoch": 1, "global_step": 3, "nas_lightning": stage}, folder / "stage.ckpt")
    return {name: (folder / name).read_bytes() for name in READERS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--folder", type=Path, help="keeps inputs and findings there")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp())
    corpus, work = folder / "corpus", folder / "work"
    for one in (corpus, work, folder / "found"):
        one.mkdir(parents=True, exist_ok=True)
    names = list(READERS)
    whole = make_corpus(work)
    shutil.copy(work / "scores.csv", work / "whole_scores.csv")
    for number, content in enumerate(whole.values()):
        (corpus / f"{number}").write_bytes(bytes([number]) + content)
    found: dict[str, int] = {}
    tried = dict.fromkeys(names, 0)
    end = time.monotonic() + 60 * arguments.minutes

    def one_input(data: bytes) -> None:
        if time.monotonic() > end:
            summary = {"tried": tried, "found": found}
            print(json.dumps(summary, indent=2), flush=True)
            (folder / "summary.json").write_text(json.dumps(summary, indent=2))
            os._exit(1 if found else 0)  # libFuzzer has no other end from within
        name = names[data[0] % len(names)] if data else names[0]
        path = work / "one" / name
        path.parent.mkdir(exist_ok=True)
        for old in path.parent.iterdir():
            shutil.rmtree(old) if old.is_dir() else old.unlink()
        if name in ("agreement.json", "metrics.csv"):
            shutil.copy(work / "whole_scores.csv", path.parent / "whole_scores.csv")
        path.write_bytes(data[1:])
        tried[name] += 1
        try:
            READERS[name](path)
        except InputError:
            pass
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            key = f"{name}: {type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}: {str(error)[:80]}"
            if key not in found:
                (folder / "found" / f"{len(found)}_{name}").write_bytes(data[1:])
                print(f"FOUND {key}", flush=True)
            found[key] = found.get(key, 0) + 1

    warnings.simplefilter("ignore")
    options = ["-max_len=16384", "-rss_limit_mb=8192", "-verbosity=0", f"-artifact_prefix={folder}/"]
    atheris.Setup([sys.argv[0], str(corpus), *options], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
