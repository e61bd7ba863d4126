"""Copies of one architecture, under other names or codes, are one architecture to whatever measures."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nas_lightning.agreement.compare import compare_scores, compare_with_known
from nas_lightning.agreement.measure import agreement_with
from nas_lightning.errors import InputError
from nas_lightning.scoring.predictors import Monotone, predict
from nas_lightning.scoring.table import Score, ScoreTable, read_scores, read_table
from nas_lightning.search.budgets import best_under_budgets
from nas_lightning.space import Candidate, Population, ResidualStructure, SearchSpace

SPACE = SearchSpace("tiny", (1, 1), (8, 12), 2, 8, trailing_entries=1)
DRAWN = Population.draw(SPACE, 90, 0)
RNG = np.random.default_rng(0)
TRUTH = dict(zip(DRAWN.architectures, RNG.uniform(0.3, 0.7, 90).round(3).tolist(), strict=True))
LOSSES = dict(zip(DRAWN.architectures, RNG.uniform(1, 2, 90).tolist(), strict=True))


def names(count: int, each: int) -> Population:
    """Each of the first candidates under several names, and codes that differ in the entry that no layer reads."""
    last = SPACE.choices[-1]
    rows = [
        Candidate(f"{one.name}, {copy}", f"{one.architecture}-{last[copy % len(last)]}", one.architecture)
        for copy in range(each)
        for one in DRAWN.candidates[:count]
    ]
    return Population(SPACE, tuple(rows))


def table_of(population: Population) -> ScoreTable:
    scores = [Score(round(2 - LOSSES[one], 2), 0.9, LOSSES[one]) for one in population.architectures]
    return ScoreTable.of(population, scores, ResidualStructure(SPACE, 5, 1))


def test_three_architectures_under_sixty_names_are_three():
    population = names(3, 20)
    assert len(set(one.text for one in population)) == 18
    agreement = agreement_with(table_of(population), TRUTH, 50)
    once = agreement_with(table_of(names(3, 1)), TRUTH, 50)
    assert (agreement.n, agreement.copies) == (3, 57)
    assert replace(agreement, copies=0).to_json() == once.to_json()
    assert "3 architectures (57 more names are copies of these)" in agreement.table()
    kendall = agreement.by_name["negative cross entropy"].estimates["kendall"]
    assert kendall.low < kendall.high


def test_a_fit_on_known_accuracies_never_judges_on_a_copy_of_what_it_saw():
    twice, once = (agreement_with(table_of(names(80, each)), TRUTH, 10) for each in (2, 1))
    assert twice.to_json()["fitted"] == once.to_json()["fitted"]
    assert "100" not in twice.to_json()["fitted"]  # 80 architectures, not 160


def test_a_predictor_weighs_no_architecture_twice():
    thrice, once = (
        predict(Monotone(), ResidualStructure(SPACE, 5, 1), some, table_of(some).scores, some, 0)[0]
        for some in (names(40, 3), names(40, 1))
    )
    np.testing.assert_allclose(thrice[:40], once, rtol=1e-12)
    assert [*thrice[:40], *thrice[:40], *thrice[:40]] == thrice.tolist()


def test_two_tables_are_compared_by_architectures(tmp_path: Path):
    for name, each in (("once", 1), ("thrice", 3)):
        table_of(names(20, each)).write(tmp_path / f"{name}.csv")
    known = Population(SPACE, DRAWN.candidates[:10])
    known.write(tmp_path / "known.json", (TRUTH[one] for one in known.architectures))
    paths = tmp_path / "once.csv", tmp_path / "thrice.csv"
    found, alone = compare_scores(*paths, SPACE, 20), compare_scores(paths[0], paths[0], SPACE, 20)
    assert (found.n, found.copies, alone.copies) == (20, 40, 0)
    assert replace(found, copies=0).to_json() == alone.to_json()
    comparison = compare_with_known(*paths, tmp_path / "known.json", SPACE, 20)
    assert (comparison.agreement.n, comparison.agreement.copies, comparison.candidates) == (10, 20, 20)


def test_the_best_are_different_architectures_and_files_keep_all_names(tmp_path: Path):
    table = table_of(names(12, 5))
    best = table.best_rows("cross_entropy")[:10].tolist()
    assert len({table.population[row].architecture for row in best}) == 10
    assert best == sorted(range(12), key=lambda row: table.scores[row].cross_entropy)[:10]
    assert best_under_budgets(table, "top1") == best_under_budgets(table_of(names(12, 1)), "top1")
    table.write(tmp_path / "scores.csv")
    table.write_submission(tmp_path / "submission.json", "cross_entropy")
    assert len(read_table(tmp_path / "scores.csv", SPACE).population) == 60
    assert len(Population.read(tmp_path / "submission.json", SPACE)) == 60


HEAD = "name,architecture,top1,top5,cross_entropy,macs,parameters"
CODE = "8-2-4-12-6"
ROW = f"a,{CODE}-2,0.5,0.9,1.5,100,70"
REFUSED = {
    "other score": ([ROW, f"b,{CODE}-4,0.5,0.9,1.6,100,70"], "line 3: 8-2-4-12-6-4 stands above with other values"),
    "other code length": ([ROW, f"b,{CODE},0.6,0.9,1.5,100,70"], "line 3: 8-2-4-12-6 stands above with other values"),
    "top-1 of -3": (
        [f"a,{CODE},-3,0.9,1.5,100,70"],
        "top5 must be fractions from 0 to 1, cross_entropy at least 0: -3.0, 0.9, 1.5",
    ),
    "top-1 in percent": ([f"a,{CODE},50,90,1.5,100,70"], "cross_entropy at least 0: 50.0, 90.0, 1.5"),
    "cross entropy below 0": ([f"a,{CODE},0.5,0.9,-1.5,100,70"], "cross_entropy at least 0"),
}
REFUSED_WHOLE = {
    "other cost": ([ROW, f"b,{CODE}-4,0.5,0.9,1.5,101,70"], "line 3: 8-2-4-12-6-4 stands above with other values"),
    "parameters of 20 digits": ([ROW.replace(",70", f",{10**19}")], f"must be whole numbers from 0 to {2**63 - 1}, not '{10**19}'"),
    "parameters of 5000 digits": ([ROW.replace(",70", f",{'1' * 5000}")], "must be whole numbers"),
    "parameters below 0": ([ROW.replace(",70", ",-70")], "not '-70'"),
}


@pytest.mark.parametrize("case", [*REFUSED, *REFUSED_WHOLE])
def test_a_row_that_cannot_be_is_one_line(case: str, tmp_path: Path):
    rows, says = {**REFUSED, **REFUSED_WHOLE}[case]
    path = write_table(tmp_path, rows)
    for read in (read_table, *((read_scores,) if case in REFUSED else ())):
        with pytest.raises(InputError) as refused:
            read(path, SPACE)
        assert says in str(refused.value)
        assert str(refused.value).startswith(f"{path}: line ")
        assert len(str(refused.value)) < len(str(path)) + 300


def test_rows_of_one_architecture_that_agree_are_read(tmp_path: Path):
    table = read_table(write_table(tmp_path, [ROW, ROW.replace("a,", "b,").replace("6-2,", "6-4,")]), SPACE)
    assert (len(table.population), len(table.population.distinct_rows)) == (2, 1)


def write_table(folder: Path, rows: Sequence[str]) -> Path:
    (folder / "scores.csv").write_text("\n".join([HEAD, *rows, ""]))
    return folder / "scores.csv"
