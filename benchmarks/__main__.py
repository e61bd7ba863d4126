"""``python -m benchmarks [--json FILE]``: our ways against the plain ones, in one run, as ratios.

Two processes take turns: one runs the plain network as PyTorch users write it, the other ours with the settings of our commands; both
with the same threads, weights, batches and candidates. The plain one is proven fair in the same run, or the run fails.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from tabulate import tabulate

from benchmarks import networks, others
from benchmarks.memory import peak_gib
from benchmarks.turns import Row, Worker

ROOT = Path(__file__).parents[1]
LEAST_SHARE = {"training_step": 0.4, "ranking": 0.2}
"""Of the GEMM peak, that the plain way must reach at full width for a ratio to it to mean anything."""


def measure(rounds: int, threads: int) -> tuple[list[Row], dict[str, Any]]:
    """All rows, and what they were measured with."""
    plain, ours = Worker("plain", threads), Worker("ours", threads)
    difference = networks.check_equal(plain, ours)
    table: list[Row] = []
    peaks = [plain("gemm")[1], ours("gemm")[1]]
    for name in ("training_step", "distillation_step", "ranking"):
        print(f"measuring {name}", file=sys.stderr)
        table.append(networks.ranking(rounds, plain, ours) if name == "ranking" else networks.steps(name, rounds, plain, ours))
        print(f"{table[-1].ratio:.2f} times", file=sys.stderr)
        peaks += [plain("gemm")[1], ours("gemm")[1]]
    plain.stop()
    ours.stop()
    print("measuring the rest", file=sys.stderr)
    table += [
        others.augmentation(rounds, table[0].seconds),
        others.loader_path(3),
        others.few_pixels(rounds),
        others.cost_model(3),
        others.agreement(),
        others.start_up(3),
    ]
    memory = {f"ranking of {count:,} images": peak_gib("ranking", count) for count in (1_000, 10_000)}
    memory["training"] = peak_gib("training", 0)
    return table, {"gemm_gflops": max(peaks), "difference_in_double": difference, "peak_memory_gib": memory, "threads": threads}


def machine(program: str = "benchmarks") -> dict[str, Any]:
    """What it ran on, and how busy that was."""
    import torch

    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False)
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "vectors": torch.backends.cpu.get_cpu_capability(),
        "load_before": os.getloadavg()[0],
        "python": platform.python_version(),
        "torch": torch.__version__,
        "commit": commit.stdout.strip(),
        "command": " ".join([f"python -m {program}", *sys.argv[1:]]),
    }


def unfair(table: list[Row], peak: float) -> list[str]:
    """Why the plain way is too slow to be compared with; empty where it is fair."""
    reached = {one.name: one.more["plain_gflops"] for one in table if one.name in LEAST_SHARE}
    return [
        f"{name} reaches {reached[name]:.0f} GFLOP/s, under {share:.0%} of the GEMM peak of {peak:.0f}"
        for name, share in LEAST_SHARE.items()
        if reached[name] < share * peak
    ]


def text(table: list[Row], conditions: dict[str, Any]) -> str:
    """For the terminal."""
    lines = []
    for one in table:
        low, high = one.quartiles
        rates = [f"{one.more[key]:.0f}" if key in one.more else "" for key in ("useful_gflops", "plain_gflops")]
        lines.append([one.name, f"{one.ratio:.3g}", f"{low:.3g} to {high:.3g}", f"{one.seconds:.3g} s", *rates, one.note])
    headers = ["row", "ratio", "quartiles", "ours", "GFLOP/s", "plain", "of what"]
    memory = "; ".join(f"{name} {gib:.2f}" for name, gib in conditions["peak_memory_gib"].items())
    return (
        f"{tabulate(lines, headers, disable_numparse=True)}\n\n"
        f"GEMM peak {conditions['gemm_gflops']:.0f} GFLOP/s with {conditions['threads']} threads\n"
        f"peak memory in GiB: {memory}\n"
        f"logits and gradients differ by {conditions['difference_in_double']:.0e} in double precision"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Our ways against the plain ones, in one run, as ratios.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results there")
    parser.add_argument("--rounds", type=int, default=9, help="of each measurement (default %(default)s)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of each process (default: all cores)")
    arguments = parser.parse_args()
    described = machine()
    try:
        table, conditions = measure(arguments.rounds, arguments.threads)
    except networks.Unequal as error:
        sys.exit(f"error: the two ways are not equal: {error}")
    problems = unfair(table, conditions["gemm_gflops"])
    if arguments.json is not None:
        content = {"machine": described, "conditions": conditions, "unfair": problems, "rows": [one._asdict() for one in table]}
        arguments.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(text(table, conditions))
    if problems:
        sys.exit(f"error: the plain way is too slow to be compared with: {'; '.join(problems)}")


if __name__ == "__main__":
    main()
