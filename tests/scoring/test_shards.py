"""A list cut into shards, each scored on its own into one run folder."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas_lightning.errors import InputError
from nas_lightning.scoring.shards import Shard
from nas_lightning.space import Candidate, Population, SearchSpace

SPACE = SearchSpace("small", (1, 1), (8, 16), 4, 8, trailing_entries=1)


def make_list(count: int = 11) -> Population:
    """With one architecture standing twice, under two names and codes."""
    drawn = Population.draw(SPACE, count, seed=3)
    twin = Candidate("twin", "-".join([*drawn[2].text.split("-")[:-1], "16"]), drawn[2].architecture)
    return Population(SPACE, (*drawn, twin))


@given(st.integers(1, 40), st.data())
def test_the_shards_of_a_list_hold_each_candidate_once(candidates: int, data: st.DataObject):
    population = make_list(max(3, candidates))
    count = data.draw(st.integers(1, len({*population.architectures})))
    parts = [Shard(number, count).of(population) for number in range(1, count + 1)]
    assert sorted(one.name for part in parts for one in part) == sorted(one.name for one in population)
    assert max(len({*part.architectures}) for part in parts) - min(len({*part.architectures}) for part in parts) <= 1
    for part in parts:
        order = [one.name for one in population]
        assert [order.index(one.name) for one in part] == sorted(order.index(one.name) for one in part)


def test_copies_of_a_candidate_are_in_one_shard():
    population = make_list()
    for number in range(1, 5):
        names = {one.name for one in Shard(number, 4).of(population)}
        assert ("twin" in names) == (population[2].name in names)


def test_more_shards_than_candidates_are_refused():
    with pytest.raises(InputError, match=r"ranking\.shard: 1/99 has more parts than the list has candidates, 11"):
        Shard(1, 99).of(make_list())


@pytest.mark.parametrize("text", ["0/3", "4/3", "1/0", "a", "1/2/3", "", "-1/2", "1.0/2"])
def test_what_is_no_part_is_refused(text: str):
    with pytest.raises(InputError, match="must be k/n"):
        Shard.parse(text)
