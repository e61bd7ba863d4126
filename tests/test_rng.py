"""Draws depend on their arguments and on nothing else."""

import itertools

import numpy as np

from nas_lightning.rng import generator


def first_draws(*arguments: int | str) -> tuple[int, ...]:
    seed, purpose, *position = arguments
    return tuple(generator(int(seed), str(purpose), *map(int, position)).integers(2**62, size=3).tolist())


def test_equal_arguments_give_equal_draws_whatever_was_drawn_before() -> None:
    expected = first_draws(1, "paths", 0, 2, 3)
    np.random.default_rng().random(5)
    first_draws(1, "order", 0, 2, 3)
    assert first_draws(1, "paths", 0, 2, 3) == expected


def test_every_argument_changes_the_draws() -> None:
    purposes = ("paths", "list order", "population", "subset", "panel", "order", "augmentation", "holdout", "bootstrap", "digits split")
    places = itertools.product((0, 1, 2**31), purposes, (0, 1), (0, 1, 391), (0, 1, 7))
    drawn = [first_draws(*place) for place in places]
    assert len(set(drawn)) == len(drawn) == 3 * 10 * 2 * 3 * 3


def test_the_global_generator_is_neither_read_nor_moved() -> None:
    np.random.seed(0)
    before = np.random.get_state()[1].copy()  # type: ignore[index, union-attr]
    expected = first_draws(1, "paths", 0)
    assert np.array_equal(np.random.get_state()[1], before)  # type: ignore[index]
    np.random.seed(1)
    assert first_draws(1, "paths", 0) == expected


def test_draws_are_pinned_so_that_seeded_results_stay_what_they_are() -> None:
    found = generator(0, "paths", 1, 2, 3).integers(1000, size=5)
    expected = np.random.default_rng([0, 0x8BBA8611, 1, 2, 3]).integers(1000, size=5)
    np.testing.assert_array_equal(found, expected)
