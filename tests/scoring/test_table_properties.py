"""What must hold for every score table, tried with hypothesis."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas_lightning.errors import InputError
from nas_lightning.scoring.table import COLUMNS, Score, ScoreTable, read_parts, read_scores, write_part
from nas_lightning.space import Architecture, Candidate, Population, ResidualStructure, SearchSpace

SPACE = SearchSpace("small", (1, 1), (8, 12), 2, 8, trailing_entries=1)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
FRACTIONS = st.floats(0, 1)
SCORES = st.builds(Score, FRACTIONS, FRACTIONS, st.floats(0, allow_infinity=False, allow_nan=False))
NAMES = st.text(max_size=12).filter(str.isprintable)


@st.composite
def tables(draw: st.DrawFn) -> ScoreTable:
    widths = st.tuples(*(st.sampled_from(legal) for legal in SPACE.choices)).map(Architecture)
    rows = draw(st.lists(st.tuples(NAMES, widths, SCORES), min_size=1, max_size=8, unique_by=lambda row: row[1]))
    population = Population(SPACE, tuple(Candidate(name, SPACE.text(one), one) for name, one, _ in rows))
    return ScoreTable.of(population, [score for _, _, score in rows], ResidualStructure(SPACE, 10, 1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("properties")


@pytest.mark.slow
@given(tables())
def test_a_written_table_is_read_back_to_the_bit_whatever_the_names(folder: Path, table: ScoreTable):
    table.write(folder / "scores.csv")
    assert read_scores(folder / "scores.csv", SPACE) == dict(zip(table.population.architectures, table.scores, strict=True))


@pytest.mark.slow
@given(tables())
def test_a_written_part_is_read_back_to_the_bit(folder: Path, table: ScoreTable):
    for old in folder.glob("*.csv"):
        old.unlink()
    write_part(folder, 0, table.population.candidates, table.scores)
    assert read_parts(folder, SPACE) == dict(zip(table.population.architectures, table.scores, strict=True))


@pytest.mark.slow
@given(tables(), st.data())
def test_a_table_cut_off_anywhere_is_read_as_its_whole_rows_or_refused(folder: Path, table: ScoreTable, data: st.DataObject):
    path = folder / "cut.csv"
    table.write(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    complete = dict(zip(table.population.architectures, table.scores, strict=True))
    try:
        found = read_scores(path, SPACE)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert set(found) <= set(complete)


@given(st.lists(st.lists(st.text(max_size=8) | NUMBERS.map(repr) | st.sampled_from(["nan", "inf", "8-8-8-12-12"]), max_size=9), max_size=4))
def test_any_rows_are_finite_scores_or_refused_in_one_line(folder: Path, rows: list[list[str]]):
    path = folder / "any.csv"
    path.write_text("\n".join([",".join(COLUMNS), *(",".join(row) for row in rows)]), encoding="utf-8", errors="replace")
    try:
        found = read_scores(path, SPACE)
    except InputError as error:
        assert str(error).startswith(str(path))
        assert "\n" not in str(error)
    else:
        for architecture, score in found.items():
            SPACE.check(architecture)
            assert all(map(math.isfinite, score))
            assert 0 <= score.top1 <= 1
