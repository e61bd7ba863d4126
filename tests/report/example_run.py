"""A run folder as files alone, small and made up."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

LAYERS = 5
WIDTHS = (4, 8, 12)
BASELINES = ("parameters", "multiply-adds", "last width")


def write_example(folder: Path, candidates: int = 60, known: int = 40, names: Sequence[str] = (), score: str = "cross_entropy") -> Path:
    """All files of a run: codes have one entry that no layer reads, and the last candidates have no known accuracy.

    Args:
        names: of the first candidates, in place of arch1, arch2, ...
    """
    rng = np.random.default_rng(0)
    all_names = [*names, *(f"arch{number}" for number in range(len(names) + 1, candidates + 1))]
    rows = []
    for number, name in enumerate(all_names):
        # Numbers in base 3, so that no two candidates have the same widths.
        widths = [WIDTHS[number // 3**layer % 3] for layer in range(LAYERS)]
        code = "-".join(map(str, [*widths, int(rng.choice(WIDTHS))]))
        loss = 3 - sum(widths) / 40 + rng.normal(0, 0.1)
        rows.append([name, code, round(1 - loss / 4, 6), 0.9, round(loss, 6), 1_000_000 * sum(widths), 1000 * widths[-1]])
    write_scores(folder, rows)
    truth = {
        row[0] if row[0].isprintable() else "unprintable": {
            "acc": round(0.8 - row[4] / 8 + rng.normal(0, 0.01), 4),
            "arch": row[1].rsplit("-", 1)[0],
        }
        for row in rows[:known]
    }
    write_json(folder / "ranking/known_accuracies.json", truth)
    write_json(folder / "ranking/agreement.json", agreement(known))
    write_json(folder / "ranking/protocol.json", {"checkpoint_sha256": "c0ffee", "images": 500, "batch_size": 500})
    environment = {"command": ["train.py", "experiment=example"], "commit": "0123456789abcdef", "dirty": True, "packages": {"numpy": "2.0"}}
    write_json(folder / "environment.json", environment)
    optimizer = {"_target_": "torch.optim.SGD", "lr": 0.1}
    stages = {name: {"epochs": 2, "optimizer": {**optimizer}} for name in ("pretrain", "finetune", "distill")}
    space = {"_target_": "nas_lightning.space.SearchSpace", "name": "example", "blocks": [2], "max_widths": [12]}
    config = {"seed": 3, "stages": stages, "space": space, "ranking": {"score": score}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    for name, steps in (("finetune", 20), ("pretrain", 100)):
        write_metrics(folder, name, steps)
    lines = ["name,architecture,seed,accuracy", *(f"{row[0]},{row[1]},{seed},{0.5 + seed / 100}" for row in rows[-3:] for seed in (0, 1))]
    write_text(folder / "standalone/accuracies.csv", "\n".join(lines) + "\n")
    return folder


def write_scores(folder: Path, rows: Sequence[Sequence[Any]], further: Sequence[str] = ()) -> None:
    path = folder / "ranking/scores.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["name", "architecture", "top1", "top5", "cross_entropy", "macs", "parameters", *further])
        writer.writerows(rows)


def write_metrics(folder: Path, stage: str, steps: int) -> None:
    lines = ["step,loss,lr,epoch,largest/top1,smallest/top1,panel_1/top1,panel/kendall,top1,top5"]
    for step in range(0, steps, 2):
        lines.append(f"{step},{4 - step / steps},{0.1 - step / steps / 10},0.0,,,,,,")
        if step % 20 == 18:
            lines.append(f"{step + 1},,,0.0,0.5,0.1,0.3,0.6,0.25,0.5")
    write_text(folder / f"stages/{stage}/metrics.csv", "\n".join(lines) + "\n")


def estimate(value: float, width: float = 0.05) -> dict[str, float]:
    return {"value": value, "low": value - width, "high": value + width}


def agreement(n: int, kendall: float = 0.7, chances: Sequence[float] = (1.0, 0.5, 0.01)) -> dict[str, Any]:
    """ranking/agreement.json in its newest form."""

    def one(value: float) -> dict[str, Any]:
        correlations = {name: estimate(value) for name in ("pearson", "kendall", "spearman", "weighted_kendall", "kendall_top_third")}
        best = {"top_k_overlap": {"10": estimate(0.4)}, "best_rank": {"10": estimate(2.0, 1.0)}, "regret": {"10": estimate(0.004, 0.002)}}
        return {**correlations, **best, "constant": False, "ties": 0.0, "dropped_resamples": 0}

    scores = {"top-1": one(kendall - 0.1), "negative cross entropy": one(kendall)}
    beats = {
        name: {
            other: {"kendall": chance, "pearson": 1.0, "top_k_overlap_10": 0.6} for other, chance in zip(BASELINES, chances, strict=True)
        }
        for name in scores
    }
    return {
        "n": n,
        "missing": 0,
        "resamples": 1000,
        "seed": 0,
        "scores": scores,
        "baselines": {name: one(0.4 + number / 100) for number, name in enumerate(BASELINES)},
        "beats": beats,
        "fitted": {"20": {"kendall": estimate(0.5), "pearson": estimate(0.6), "spearman": estimate(0.55), "repeats": 10}},
        "ceiling": {"seeds": 3, "kendall": estimate(0.9), "pearson": estimate(0.95)},
    }


def change_json(path: Path, **changes: Any) -> None:
    """Sets top-level keys; None stays in the file as null."""
    write_json(path, {**json.loads(path.read_text(encoding="utf-8")), **changes})


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value))


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
