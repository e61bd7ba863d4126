"""A search on made-up losses: budgets, repeats, resuming, and that it is better than chance."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas_lightning.errors import InputError
from nas_lightning.search.algorithms import ALGORITHMS, _winners
from nas_lightning.search.evaluated import as_csv, losses, read_evaluated, work
from nas_lightning.search.front import hypervolumes
from nas_lightning.search.problem import Problem
from nas_lightning.search.run import Evaluations, Search, best_under
from nas_lightning.search.starts import STARTS
from nas_lightning.space import Architecture
from tests.search.problems import SPACE, STRUCTURE, evaluate, problem

COSTS = ("multiply_adds", "parameters")


def search(of: Problem, algorithm: str = "nsga2", start: str = "spread", evaluations: int = 60, seed: int = 0) -> Search:
    return Search(
        problem=of,
        algorithm=ALGORITHMS[algorithm],
        start=STARTS[start],
        objective="cross_entropy",
        evaluations=evaluations,
        population=10,
        seed=seed,
    )


def counted(architectures: Sequence[Architecture]) -> tuple[list[int], list[int]]:
    """Multiply-adds and parameters, straight from the structure."""
    cost = STRUCTURE.cost([one.widths for one in architectures])
    return cost.multiply_adds.tolist(), cost.parameters.tolist()


SHARES, PROPOSERS, WORDS = st.floats(0.0, 1.0), ("nsga2", "random", "successive_halving"), ("spread", "uniform")


@pytest.mark.slow
@given(
    SHARES, SHARES, st.integers(0, 1000), st.sampled_from(["nsga2", "random", "successive_halving"]), st.sampled_from(["spread", "uniform"])
)
@settings(max_examples=18)
def test_no_candidate_breaks_a_budget_or_comes_twice(macs: float, size: float, seed: int, algorithm: str, start: str):
    ends = {name: problem().ends(name) for name in COSTS}
    budget = {name: low + share * (high - low) for share, (name, (low, high)) in zip((macs, size), ends.items(), strict=True)}
    done = search(problem(budget), algorithm, start, 40, seed).run(evaluate)
    architectures = [row.architecture for row in done.rows]
    assert len({(row.architecture, row.share) for row in done.rows}) == len(architectures) >= 1
    for architecture in architectures:
        SPACE.check(architecture)
    for name, values in zip(COSTS, counted(architectures), strict=True):
        assert max(values) <= budget[name]
        assert values == [row.costs[name] for row in done.rows]


def test_a_search_with_two_budgets_keeps_to_the_larger_and_chooses_under_each():
    low, high = (share * problem().ends("multiply_adds")[1] for share in (0.2, 0.5))
    done = search(problem({"multiply_adds": low}, {"multiply_adds": high})).run(evaluate)
    assert low < max(counted([row.architecture for row in done.rows])[0]) <= high
    for budget in (low, high):
        best = best_under(done.rows, {"multiply_adds": budget}, "cross_entropy", 3)
        legal = [row for row in done.rows if counted([row.architecture])[0][0] <= budget]
        assert best == sorted(legal, key=lambda row: row.score.cross_entropy)[:3]


@pytest.mark.parametrize("killed_after", [10, 30, 50])
@pytest.mark.parametrize("algorithm", ["nsga2", "successive_halving"])
def test_a_search_that_replays_what_is_known_ends_like_an_undisturbed_one(algorithm: str, killed_after: int, tmp_path: Any):
    whole = search(problem(), algorithm).run(evaluate)
    (tmp_path / "evaluated.csv").write_text(as_csv(whole.rows[:killed_after], SPACE, COSTS))
    known = read_evaluated(tmp_path / "evaluated.csv", SPACE, COSTS)
    asked: list[Architecture] = []

    def counting(generation: int, architectures: Sequence[Architecture]) -> list[Any]:
        asked.extend(architectures)
        return evaluate(generation, architectures)

    again = search(problem(), algorithm).run(counting, known)
    assert as_csv(again.rows, SPACE, COSTS) == as_csv(whole.rows, SPACE, COSTS)
    assert sorted(map(str, asked)) == sorted(str(row.architecture) for row in whole.rows[killed_after:])


@pytest.mark.parametrize("algorithm", ["nsga2", "successive_halving"])
def test_more_evaluations_go_on_with_the_same_search(algorithm: str):
    short = search(problem(), algorithm, evaluations=27).run(evaluate)
    assert work(short.rows) == 27
    longer = search(problem(), algorithm, evaluations=60).run(evaluate, short.rows)
    assert as_csv(longer.rows, SPACE, COSTS) == as_csv(search(problem(), algorithm).run(evaluate).rows, SPACE, COSTS)


def test_what_another_search_evaluated_is_refused():
    known = search(problem(), seed=1).run(evaluate).rows
    with pytest.raises(InputError, match=r"^file: holds [0-9-]+ where this search proposes"):
        search(problem()).run(evaluate, known, "file")


def test_the_evolution_beats_candidates_of_its_own_start():
    def volume(done: Evaluations) -> float:
        worst = (np.log(10), problem().ends("multiply_adds")[1])
        return hypervolumes(losses(done.rows, "cross_entropy", ("multiply_adds",)), worst, [len(done.rows)])[0]

    for seed in range(3):
        found, random = (search(problem(), algorithm, evaluations=200, seed=seed).run(evaluate) for algorithm in ("nsga2", "random"))
        assert volume(found) > volume(random)


def test_a_small_space_is_searched_to_its_end():
    listed = tuple(SPACE.sample_distinct(7, np.random.default_rng(0)))
    done = search(problem(listed=listed), "list").run(evaluate)
    assert [row.architecture for row in done.rows] == list(listed)


@pytest.mark.parametrize("cells", ["0,{},0.1,0.2,,,5,6", "0,{},0.1,0.2,nan,,5,6", "x,{},,,,1.5,5,6", "0,9{},,,,1.5,5,6", "0,{},,,,1.5,5,"])
def test_a_damaged_row_is_one_line_with_its_place(cells: str, tmp_path: Any):
    path = tmp_path / "evaluated.csv"
    path.write_text(f"{as_csv([], SPACE, COSTS)}{cells.format('8-8-8-8-8-8-8')}\n")
    with pytest.raises(InputError, match=r"evaluated.csv: line 2: "):
        read_evaluated(path, SPACE, COSTS)


def test_winners_of_tournaments_are_of_lower_fronts_and_less_crowded():
    class Known:
        def get(self, *names: str) -> list[np.ndarray]:
            values = {"rank": np.array([1, 0, 0, 1], dtype=object), "crowding": np.array([0.5, 0.2, np.inf, 0.7], dtype=object)}
            return [values[name] for name in names]

    rng, order = np.random.default_rng(0), [2, 1, 3, 0]  # best first
    found = _winners(Known(), (2, 4000), rng)
    assert found.shape == (2, 4000)
    shares = np.bincount(found.ravel(), minlength=4) / found.size
    # The best of four wins whenever it is drawn: 1 - (3/4)^2, and so on.
    assert shares[order] == pytest.approx([7 / 16, 5 / 16, 3 / 16, 1 / 16], abs=0.02)
