"""``search.algorithm=successive_halving``, against a plain loop, on made-up losses that fewer images blur."""

from collections.abc import Sequence
from math import ceil
from typing import Any

import numpy as np
import pytest

from nas_lightning.errors import InputError
from nas_lightning.scoring.table import Score
from nas_lightning.search.evaluated import Evaluated, as_csv, read_evaluated, work
from nas_lightning.search.problem import Budget
from nas_lightning.search.run import Evaluations, Generation, best_under
from nas_lightning.search.starts import Fresh, Spread
from nas_lightning.space import Architecture
from tests.search.problems import SPACE, evaluate, problem
from tests.search.test_search import COSTS, counted, search

MACS, SIZE = (problem().ends(name)[1] for name in COSTS)
BUDGETS: dict[str, tuple[Budget, ...]] = {
    "no budget": (),
    "one": ({"multiply_adds": 0.4 * MACS},),
    "two": ({"multiply_adds": 0.2 * MACS}, {"multiply_adds": 0.6 * MACS}),
    "two costs": ({"multiply_adds": 0.3 * MACS, "parameters": 0.7 * SIZE}, {"multiply_adds": 0.7 * MACS, "parameters": 0.3 * SIZE}),
}


def blurred(generation: Generation, architectures: Sequence[Architecture]) -> list[Score]:
    """Fewer images add noise, another for each number of images."""
    scores = []
    for architecture, score in zip(architectures, evaluate(generation, architectures), strict=True):
        noise = np.random.default_rng([*architecture.widths, int(1000 * generation.share)]).normal(0, 0.03)
        scores.append(score._replace(cross_entropy=score.cross_entropy + noise * float(1 / generation.share - 1) ** 0.5))
    return scores


def rungs_of(done: Evaluations) -> list[list[Evaluated]]:
    return [[row for row in done.rows if row.generation == number] for number in range(done.rows[-1].generation + 1)]


def best_half(rung: Sequence[Evaluated], budgets: Sequence[Budget]) -> tuple[set[Architecture], set[Architecture]]:
    """Those that must stay and those that may: the best n under each budget, for the last n that makes at most half, and for one more."""
    codes = [row.architecture for row in rung]
    costs = dict(zip(codes, zip(*counted(codes), strict=True), strict=True))
    least: set[Architecture] = set()
    for count in range(len(rung) + 1):
        stay: set[Architecture] = set()
        for budget in budgets or ({},):
            legal = [row for row in rung if all(costs[row.architecture][COSTS.index(name)] <= limit for name, limit in budget.items())]
            stay |= {row.architecture for row in sorted(legal, key=lambda row: row.score.cross_entropy)[:count]}
        if len(stay) >= ceil(len(rung) / 2):
            return least, stay
        least = stay
    raise AssertionError("the budgets hold less than half of the candidates")


@pytest.mark.parametrize("budgets", BUDGETS.values(), ids=BUDGETS)
@pytest.mark.parametrize("seed", range(3))
def test_each_rung_keeps_the_best_half_under_each_budget(budgets: tuple[Budget, ...], seed: int):
    limited = problem(*budgets)
    done = search(limited, "successive_halving", evaluations=80, seed=seed).run(blurred)
    rungs = rungs_of(done)
    assert [(len(rung), rung[0].share) for rung in rungs] == 2 * [(80, 1 / 8), (40, 1 / 4), (20, 1 / 2), (10, 1.0)]
    assert [{row.share for row in rung} for rung in rungs] == [{rung[0].share} for rung in rungs]
    drawn = limited.architectures(Fresh(Spread().stream(limited, seed)).take(160))
    assert [row.architecture for rung in (rungs[0], rungs[4]) for row in rung] == drawn
    for first in (0, 4):
        for before, after in zip(rungs[first : first + 3], rungs[first + 1 : first + 4], strict=True):
            kept = {row.architecture for row in after}
            must, may = best_half(before, budgets)
            assert must <= kept <= may
    assert {row.architecture for row in done.whole} == {row.architecture for row in [*rungs[3], *rungs[7]]}


def test_an_evaluation_is_as_many_images_as_one_candidate_on_all():
    done = search(problem(*BUDGETS["two"]), "successive_halving", evaluations=80).run(blurred)
    assert sum(8 * row.share for row in done.rows) == 8 * 80 == 8 * work(done.rows)
    assert {work(rung) for rung in rungs_of(done)} == {10}  # of every rung a population's


def test_halving_finds_better_candidates_than_as_much_work_on_random_ones():
    limited = problem(*BUDGETS["one"])
    gains = []
    for seed in range(5):
        found, random = (
            search(limited, algorithm, evaluations=80, seed=seed).run(blurred).whole for algorithm in ("successive_halving", "random")
        )
        best = [best_under(rows, BUDGETS["one"][0], "cross_entropy", 5) for rows in (random, found)]
        gains.append(np.mean([row.score.cross_entropy for row in best[0]]) - np.mean([row.score.cross_entropy for row in best[1]]))
    assert min(gains) > 0


def test_a_small_space_ends_with_smaller_brackets():
    listed = tuple(SPACE.sample_distinct(11, np.random.default_rng(0)))
    done = search(problem(listed=listed), "successive_halving", "list").run(blurred)
    assert [(len(rung), rung[0].share) for rung in rungs_of(done)] == [(11, 1 / 8), (6, 1 / 4), (3, 1 / 2), (2, 1.0)]


def test_the_file_has_the_shares_and_others_lack_the_column(tmp_path: Any):
    path = tmp_path / "evaluated.csv"
    done = search(problem(), "successive_halving", evaluations=40).run(blurred)
    path.write_text(as_csv(done.rows, SPACE, COSTS))
    assert repr(read_evaluated(path, SPACE, COSTS)) == repr(done.rows)
    assert "share_of_images" not in as_csv(done.whole, SPACE, COSTS)
    path.write_text(path.read_text().replace(",0.125\n", ",0.25\n", 1))
    with pytest.raises(InputError, match=r"^file: holds \S+ on 0.25 of the images where this search proposes \S+ on 0.125 of the images"):
        search(problem(), "successive_halving", evaluations=40).run(blurred, read_evaluated(path, SPACE, COSTS), "file")
    path.write_text(path.read_text().replace(",0.25\n", ",2\n", 1))
    with pytest.raises(InputError, match=r"evaluated.csv: line 2: "):
        read_evaluated(path, SPACE, COSTS)
