"""The rows of the networks: training, distillation, ranking."""

import statistics

import numpy as np

from benchmarks.turns import Row, Worker, alternate, row
from benchmarks.ways import BATCH, IMAGES, PATHS, ranked_rows, step_paths, track1
from benchmarks.work import activation_bytes, multiply_adds, shared_activation_bytes, shared_multiply_adds

WARM_UP = 40
"""Steps: our kernels are compiled once for each combination of shapes, and a training of thousands of steps soon has them all."""
PLAIN_AT_A_TIME = 5
"""Candidates of a round of the plain ranking, whose time does not depend on the candidate."""


class Unequal(Exception):
    """The ways do not compute the same, so that no ratio means anything."""


def check_equal(plain: Worker, ours: Worker) -> float:
    """The largest relative difference of logits and gradients in double precision."""
    pairs = zip(plain("logits_and_gradients")[1], ours("logits_and_gradients")[1], strict=True)
    worst = max(float(np.abs(first - second).max() / max(np.abs(first).max(), 1e-12)) for first, second in pairs)
    if worst > 1e-9:
        raise Unequal(f"logits or gradients differ by {worst:.1e} in double precision")
    return worst


def steps(name: str, rounds: int, plain: Worker, ours: Worker) -> Row:
    """``training_step`` or ``distillation_step``."""
    space = track1()
    cold = ours(name, 10_000)[0]
    for number in range(WARM_UP):
        ours(name, 10_001 + number)
    plain(name, 10_000)
    seconds = alternate(rounds, lambda number: plain(name, number)[0], lambda number: ours(name, number)[0])
    distils = name == "distillation_step"
    full = [space.largest] * (2 * PATHS if distils else PATHS)
    sliced = [[*step_paths(space, number), *([space.largest] if distils else [])] for number in range(rounds)]
    three_passes = 3 * 2 * BATCH / 1e9  # forward, gradient of the images, gradient of the weights
    return row(
        name,
        seconds,
        f"{PATHS} paths, batch {BATCH}" + (f"; {len(full)} passes against {PATHS + 1}" if distils else ""),
        plain_gflops=three_passes * multiply_adds(space, full) / statistics.median(seconds[0]),
        useful_gflops=statistics.median(
            three_passes * multiply_adds(space, one) / second for one, second in zip(sliced, seconds[1], strict=True)
        ),
        plain_bytes=BATCH * activation_bytes(space, full),
        our_bytes=BATCH * statistics.mean(activation_bytes(space, one) for one in sliced),
        first_step_seconds=cold,
    )


def ranking(rounds: int, plain: Worker, ours: Worker) -> Row:
    """``ranking``: neighbours of a sorted list of 50,000, ours all, the plain way some of them each round."""
    space, rows = track1(), ranked_rows()
    plain("reset")
    ours("reset")
    ours("ranking", 0, len(rows))
    plain("ranking", 0, 1)
    scores: dict[str, dict[int, tuple[float, float]]] = {"plain": {}, "ours": {}}

    def timed(way: str, worker: Worker, first: int, count: int) -> float:
        seconds, found = worker("ranking", first, count)
        scores[way].update(enumerate(found, start=first))
        return seconds / count

    last = len(rows) - PLAIN_AT_A_TIME
    seconds = alternate(
        rounds,
        lambda number: timed("plain", plain, min(number * 11, last), PLAIN_AT_A_TIME),
        lambda _: timed("ours", ours, 0, len(rows)),
    )
    for place, (top1, loss) in scores["plain"].items():
        our_top1, our_loss = scores["ours"][place]
        if abs(loss - our_loss) > 1e-5 * loss or abs(top1 - our_top1) > 1 / IMAGES:
            raise Unequal(f"{rows[place]}: the plain network scores {top1}, {loss}, ours {our_top1}, {our_loss}")
    plainly, mine = map(statistics.median, seconds)
    return row(
        "ranking",
        seconds,
        f"an architecture on {IMAGES} images",
        plain_gflops=2 * IMAGES * multiply_adds(space, [space.largest]) / plainly / 1e9,
        useful_gflops=2 * IMAGES * multiply_adds(space, rows) / len(rows) / mine / 1e9,
        computed_gflops=2 * IMAGES * shared_multiply_adds(space, rows) / len(rows) / mine / 1e9,
        plain_bytes=IMAGES * activation_bytes(space, [space.largest]),
        our_bytes=IMAGES * shared_activation_bytes(space, rows) / len(rows),
        scores_compared=len(scores["plain"]),
    )
