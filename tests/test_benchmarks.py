"""The benchmarks run on the code as it is: they call it from outside, where no type check looks."""

from benchmarks import others


def test_a_batch_of_the_data_path_can_be_timed():
    assert 0 < others.data_path("cutout")() < 60
