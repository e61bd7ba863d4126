"""What must hold for every architecture, list and file of candidates, tried with hypothesis."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas_lightning.errors import InputError
from nas_lightning.space import Architecture, Candidate, Population, SearchSpace, read_accuracies

SPACES = st.integers(1, 3).flatmap(
    lambda stages: st.builds(
        lambda blocks, steps, width_step, trailing: SearchSpace(
            "any", tuple(blocks), tuple(step * width_step for step in steps), width_step, 8, trailing
        ),
        st.lists(st.integers(1, 3), min_size=stages, max_size=stages),
        st.lists(st.integers(1, 5), min_size=stages, max_size=stages),
        st.integers(1, 4),
        st.integers(0, 2),
    )
)
NAMES = st.text(max_size=20).filter(str.isprintable)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@st.composite
def lists(draw: st.DrawFn) -> Population:
    """A space and some of its candidates under any names, some written at full length."""
    space = draw(SPACES)
    widths = st.tuples(*(st.sampled_from(legal) for legal in space.choices))
    named = draw(st.dictionaries(NAMES, st.tuples(widths, st.booleans()), min_size=1, max_size=8))
    rows = ((name, Architecture(chosen), full) for name, (chosen, full) in named.items())
    return Population(space, tuple(Candidate(name, space.text(one) if full else str(one), one) for name, one, full in rows))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("properties") / "list.json"


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=30).map(tuple))
def test_a_printed_architecture_is_read_back(widths: tuple[int, ...]):
    assert Architecture.parse(str(Architecture(widths))) == Architecture(widths)


@given(st.text(max_size=20) | st.lists(st.sampled_from(["4", "08", "+4", " 4", "٤", "-", "--", "1_6", "1e1", ""])).map("-".join))
def test_any_text_is_an_architecture_of_plain_integers_or_refused(text: str):
    try:
        widths = Architecture.parse(text).widths
    except ValueError:
        assert not all(part.isascii() and part.isdigit() for part in text.split("-"))
    else:
        assert [int(part) for part in text.split("-")] == list(widths)


@given(lists())
def test_a_space_reads_what_it_writes(population: Population):
    for one in population.architectures:
        population.space.check(one)
        assert population.space.parse(population.space.text(one)) == one
        assert population.space.parse(str(one)) == one


@given(lists(), st.data())
def test_a_written_list_is_read_back_with_its_names_codes_and_accuracies(path: Path, population: Population, data: st.DataObject):
    accuracies = data.draw(st.lists(st.floats(0, 1), min_size=len(population), max_size=len(population)))
    population.write(path, accuracies)
    again = Population.read(path, population.space)
    assert [(one.name, one.text, one.architecture) for one in again] == [(one.name, one.text, one.architecture) for one in population]
    differing: dict[Architecture, set[float]] = {}
    for one, accuracy in zip(population.architectures, accuracies, strict=True):
        differing.setdefault(one, set()).update({accuracy} - {0})  # 0 is unknown
    if all(len(values) <= 1 for values in differing.values()):
        assert read_accuracies(path, population.space) == {one: values.pop() for one, values in differing.items() if values}
    else:
        with pytest.raises(InputError, match="two accuracies"):
            read_accuracies(path, population.space)


@given(SPACES, JSON | st.dictionaries(NAMES, st.fixed_dictionaries({"arch": JSON, "acc": JSON}), max_size=3))
def test_any_json_is_a_list_of_the_space_or_refused_in_one_line(path: Path, space: SearchSpace, content: Any):
    path.write_text(json.dumps(content))
    for read in (Population.read, read_accuracies):
        try:
            found = read(path, space)
        except InputError as error:
            assert str(path) in str(error)
            assert "\n" not in str(error)
        else:
            architectures = found.architectures if isinstance(found, Population) else found
            for one in architectures:
                space.check(one)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_in_one_line(path: Path, content: bytes):
    path.write_bytes(content)
    with pytest.raises(InputError) as refused:
        Population.read(path, SearchSpace("small", (1,), (4,), 2, 8))
    assert "\n" not in str(refused.value)
