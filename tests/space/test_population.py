"""Lists of candidates and the challenge's file format."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from nas_lightning.errors import InputError
from nas_lightning.space import Architecture, Population, SearchSpace, read_accuracies
from nas_lightning.space.population import EveryKth, ListFile, RandomSubset

Write = Callable[[Any], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes bytes or text as they are, anything else as JSON."""

    def written(content: Any) -> Path:
        path = tmp_path / "list.json"
        text = content if isinstance(content, bytes | str) else json.dumps(content)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return written


@pytest.fixture(scope="module")
def official(track1: SearchSpace, official_list: Path) -> Population:
    return Population.read(official_list, track1)


def message(action: Callable[[], object], path: Path) -> str:
    """What the user is told: one line that names the file."""
    with pytest.raises(InputError) as refused:
        action()
    text = str(refused.value)
    assert str(path) in text
    assert "\n" not in text
    return text


def test_the_official_list_parses_whole_as_50000_distinct(official: Population) -> None:
    assert len(official) == len(set(official.architectures)) == 50_000
    assert (official[0].name, official[0].text) == ("arch1", "16-4-12-16-8-16-16-24-12-8-16-4-32-52-52-52-20-40-8-44")


def test_neither_the_largest_nor_the_smallest_is_in_the_official_list(official: Population) -> None:
    assert official.space.largest not in official.architectures
    assert official.space.smallest not in official.architectures


def test_the_official_list_has_the_published_numbers_of_distinct_prefixes(official: Population) -> None:
    found = [len({one.widths[:length] for one in official.architectures}) for length in range(1, 10)]
    assert found == [4, 16, 64, 256, 1_024, 4_096, 15_621, 41_629, 48_848]


def test_the_official_list_is_written_back_as_the_same_json_object(official: Population, official_list: Path, tmp_path: Path) -> None:
    official.write(tmp_path / "copy.json")
    written = json.loads((tmp_path / "copy.json").read_text())
    original = json.loads(official_list.read_text())
    assert list(written) == list(original)
    assert written == original


def test_a_round_trip_keeps_keys_order_and_text(small: SearchSpace, write: Write, tmp_path: Path) -> None:
    content = {"z": {"acc": 0, "arch": "4-2-4-8-6-2"}, "a": {"acc": 0.5, "arch": "2-2-2-2-2"}, "ä 1": {"acc": 0, "arch": "04-2-4-2-6-8"}}
    population = Population.read(write(content), small)
    population.write(tmp_path / "copy.json", accuracies=[0.25, 0.5, 1])
    copy = json.loads((tmp_path / "copy.json").read_text())
    assert [(name, row["arch"], row["acc"]) for name, row in copy.items()] == [
        ("z", "4-2-4-8-6-2", 0.25),
        ("a", "2-2-2-2-2", 0.5),
        ("ä 1", "04-2-4-2-6-8", 1),
    ]
    again = Population.read(tmp_path / "copy.json", small)
    assert [(one.name, one.text, one.architecture) for one in again] == [(one.name, one.text, one.architecture) for one in population]


def test_writing_asks_for_one_accuracy_a_candidate(small: SearchSpace, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="zip"):
        Population.of(small, [small.largest, small.smallest]).write(tmp_path / "list.json", accuracies=[0.5])
    assert list(tmp_path.iterdir()) == []


def test_written_lists_have_20_entries_and_keys_from_arch1(track1: SearchSpace, tmp_path: Path) -> None:
    drawn = Population.draw(track1, 30, seed=0)
    drawn.write(tmp_path / "list.json")
    content = json.loads((tmp_path / "list.json").read_text())
    assert list(content) == [f"arch{number}" for number in range(1, 31)]
    assert all(row["acc"] == 0 and len(row["arch"].split("-")) == 20 for row in content.values())
    assert Population.read(tmp_path / "list.json", track1).architectures == drawn.architectures


GOOD_ROW = {"acc": 0, "arch": "4-2-4-8-6"}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"a": GOOD_ROW, "b": {"acc": 0}}, ["b: ", '"arch"']),
        ({"a": GOOD_ROW, "b": {"acc": 0, "arch": None}}, ["b: ", '"arch"']),
        ({"a": GOOD_ROW, "b": {"acc": 0, "arch": [4, 2, 4, 8, 6]}}, ["b: ", '"arch"']),
        ({"a": GOOD_ROW, "b": 7}, ["b: ", "7", '"arch"']),
        ({"a": GOOD_ROW, "b": "4-2-4-8-6"}, ["b: ", '"arch"']),
        ({"a": GOOD_ROW, "b": []}, ["b: ", '"arch"']),
        ({"a": {"arch": "4-2-4-8-7"}}, ["a: ", "entry 5", "width 7", "2, 4, 6, 8"]),
        ({"a": {"arch": "4-2-4-8"}}, ["a: ", "has 4 entries", "takes 5 or 6"]),
        ({"a": {"arch": "4-2-4-8-+6"}}, ["a: ", "'+6' is not an integer"]),
        ({"a": {"arch": ""}}, ["a: ", "'' is not an integer"]),
        ({}, ["one or more entries"]),
        ([], ["JSON object"]),
        ([GOOD_ROW], ["JSON object"]),
        ("null", ["JSON object"]),
        ("3", ["JSON object"]),
        ('{"a": {"arch": "4-2-4-8-6"}, "a": {"arch": "2-2-2-2-2"}}', ["'a' stands twice"]),
        ('{"a": {"arch": "4-2-4-8-6", "arch": "2-2-2-2-2"}}', ["'arch' stands twice"]),
        ("", ["is not JSON"]),
        ("{", ["is not JSON"]),
        ('{"a": {"arch": "4-2-4-8-6"}} x', ["is not JSON"]),
        ("arch,acc\n4-2-4-8-6,0\n", ["is not JSON"]),
        ("[" * 100_000, ["is not JSON"]),
        ('{"a": {"acc": ' + "9" * 5_000 + ', "arch": "4-2-4-8-6"}}', ["is not JSON"]),
        (b'{"\xff": {"arch": "4-2-4-8-6"}}', ["is not UTF-8", "byte 2"]),
        ('{"a": {"arch": "4-2-4-8-6"}}'.encode("utf-16"), ["is not UTF-8"]),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_wrong_list_is_refused_in_one_line_naming_file_key_and_rule(
    small: SearchSpace, write: Write, content: Any, told: list[str]
) -> None:
    path = write(content)
    text = message(lambda: Population.read(path, small), path)
    for part in told:
        assert part in text


def test_of_several_wrong_entries_the_first_is_named_and_the_rest_counted(small: SearchSpace, write: Write) -> None:
    path = write({"a": GOOD_ROW, "b": 7, "c": {"arch": "2"}, "d": None})
    text = message(lambda: Population.read(path, small), path)
    assert "b: " in text
    assert "and 2 more" in text


def test_a_file_larger_than_the_limit_is_refused_unread_naming_both_sizes(
    small: SearchSpace, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(b"\xff" * (2**20 + 2**19))
    monkeypatch.setenv("NAS_LIGHTNING_MAX_MIB", "1")
    text = message(lambda: Population.read(path, small), path)
    assert "1.5 MiB" in text
    assert "1 MiB" in text
    assert "NAS_LIGHTNING_MAX_MIB sets another limit" in text
    monkeypatch.setenv("NAS_LIGHTNING_MAX_MIB", "1.5")
    assert "UTF-8" in message(lambda: Population.read(path, small), path)


@pytest.mark.parametrize("text", ["", "-1", "much", "nan", "1e9", "inf"])
def test_a_limit_that_is_no_number_is_refused(text: str, small: SearchSpace, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAS_LIGHTNING_MAX_MIB", text)
    with pytest.raises(InputError, match=r"NAS_LIGHTNING_MAX_MIB: .* must be a number of MiB"):
        Population.read(write({}), small)


def test_a_byte_order_mark_is_read_over(small: SearchSpace, write: Write) -> None:
    content = json.dumps({"ä": GOOD_ROW}, ensure_ascii=False)
    assert [one.name for one in Population.read(write(content.encode("utf-8-sig")), small)] == ["ä"]
    assert [one.name for one in Population.read(write(content.encode()), small)] == ["ä"]


def test_a_missing_file_and_a_folder_are_refused(small: SearchSpace, tmp_path: Path) -> None:
    for path in (tmp_path / "absent.json", tmp_path):
        assert "cannot be read" in message(lambda path=path: Population.read(path, small), path)  # type: ignore[misc]


def test_a_drawn_list_is_exact_distinct_and_the_same_for_the_same_seed(track1: SearchSpace) -> None:
    drawn = Population.draw(track1, 3000, seed=5)
    assert len(drawn) == len(set(drawn.architectures)) == 3000
    assert drawn.candidates == Population.draw(track1, 3000, seed=5).candidates
    assert not set(drawn.architectures) & set(Population.draw(track1, 3000, seed=6).architectures)


def test_a_drawn_list_is_uniform_in_every_entry(track1: SearchSpace) -> None:
    columns = Population.draw(track1, 8000, seed=1).widths.T
    assert columns.shape == (19, 8000)
    for column, legal in zip(columns, track1.choices, strict=True):
        counts = [int((column == width).sum()) for width in legal]
        assert sum(counts) == 8000
        assert stats.chisquare(counts).pvalue > 1e-4


def test_a_drawn_list_can_be_the_whole_small_space(small: SearchSpace) -> None:
    whole = Population.draw(small, small.size, seed=0)
    assert {one.widths for one in whole.architectures} == set(itertools.product(*small.choices))
    assert len(whole) == 128
    with pytest.raises(InputError, match="cannot draw 129 distinct candidates: space small has 128"):
        Population.draw(small, small.size + 1, seed=0)


def test_every_kth_takes_the_first_and_every_kth_after_it(small: SearchSpace) -> None:
    population = Population.draw(small, 20, seed=0)
    for step, count in itertools.product((1, 3, 7, 20, 30), (None, 1)):
        expected = [population[index].name for index in range(0, 20, step)][:count]
        assert [one.name for one in EveryKth(step, count)(population)] == expected
    assert [one.name for one in EveryKth(5, 4)(population)] == ["arch1", "arch6", "arch11", "arch16"]


def test_every_250th_of_the_official_list_is_200(official: Population) -> None:
    chosen = EveryKth(250, 200)(official)
    assert [one.name for one in chosen] == [f"arch{number}" for number in range(1, 50_000, 250)]


def test_every_kth_refuses_a_list_that_is_too_short_naming_both_numbers(small: SearchSpace) -> None:
    with pytest.raises(InputError, match="every 5th of a list of 20 gives 4 candidates, not 5"):
        EveryKth(5, 5)(Population.draw(small, 20, seed=0))


@pytest.mark.parametrize(("step", "count"), [(0, 1), (-1, None), (1, 0), (1, -1), (2.5, None), (1, 2.5)])
def test_every_kth_refuses_what_chooses_nothing(small: SearchSpace, step: Any, count: Any) -> None:
    with pytest.raises(InputError):
        EveryKth(step, count)(Population.draw(small, 20, seed=0))


def test_a_random_subset_is_distinct_seeded_and_in_the_lists_order(small: SearchSpace) -> None:
    population = Population.draw(small, 60, seed=0)
    places = {one.name: place for place, one in enumerate(population)}
    chosen = [places[one.name] for one in RandomSubset(25, seed=3)(population)]
    assert len(chosen) == len(set(chosen)) == 25
    assert chosen == sorted(chosen)
    assert chosen == [places[one.name] for one in RandomSubset(25, seed=3)(population)]
    assert chosen != [places[one.name] for one in RandomSubset(25, seed=4)(population)]
    assert len(RandomSubset(60)(population)) == 60


def test_a_random_subset_takes_every_candidate_equally_often(small: SearchSpace) -> None:
    population = Population.draw(small, 20, seed=0)
    counts = dict.fromkeys((one.name for one in population), 0)
    for seed in range(1000):
        for one in RandomSubset(5, seed)(population):
            counts[one.name] += 1
    statistic = sum((found - 250) ** 2 for found in counts.values()) / 250 / (15 / 20)  # variance without replacement
    assert stats.chi2.sf(statistic, 19) > 1e-4


@pytest.mark.parametrize(("count", "seed"), [(0, 0), (-1, 0), (2.5, 0), (True, 0), (5, -1), (5, 0.5)])
def test_a_random_subset_refuses_what_is_no_count_or_seed(small: SearchSpace, count: Any, seed: Any) -> None:
    with pytest.raises(InputError):
        RandomSubset(count, seed)(Population.draw(small, 20, seed=0))


def test_a_random_subset_refuses_more_than_there_are_naming_both_numbers(small: SearchSpace) -> None:
    with pytest.raises(InputError, match="cannot take 21 candidates at random: the list has 20"):
        RandomSubset(21)(Population.draw(small, 20, seed=0))


def test_a_list_file_stands_for_itself_in_the_runs_space(small: SearchSpace, track1: SearchSpace, write: Write) -> None:
    path = write({"mine": {"acc": 0.5, "arch": "4-2-4-8-6-8"}})
    chosen = ListFile(str(path))(Population.draw(small, 20, seed=0))
    assert [(one.name, one.text) for one in chosen] == [("mine", "4-2-4-8-6-8")]
    message(lambda: ListFile(str(path))(Population.draw(track1, 2, seed=0)), path)


def test_accuracies_are_read_by_architecture_and_0_is_unknown(small: SearchSpace, write: Write) -> None:
    path = write(
        {
            "a": {"acc": 0.25, "arch": "4-2-4-8-6"},
            "b": {"acc": 0.25, "arch": "4-2-4-8-6-8"},
            "c": {"acc": 1, "arch": "2-2-2-2-2"},
            "d": {"acc": 0, "arch": "2-2-2-2-4"},
            "e": {"acc": 0.0, "arch": "4-2-4-8-6-6"},
        }
    )
    assert read_accuracies(path, small) == {
        Architecture((4, 2, 4, 8, 6)): 0.25,
        Architecture((2, 2, 2, 2, 2)): 1.0,
    }


def test_conflicting_accuracies_of_one_architecture_are_refused(small: SearchSpace, write: Write) -> None:
    path = write({"a": {"acc": 0.25, "arch": "4-2-4-8-6"}, "b": {"acc": 0.5, "arch": "4-2-4-8-6-8"}})
    text = message(lambda: read_accuracies(path, small), path)
    assert "b: " in text
    assert "two accuracies, 0.25 and 0.5" in text


@pytest.mark.parametrize(
    "acc",
    ["100.01", "-0.1", "-41.57", "NaN", "Infinity", "1e999", "null", "true", '"0.5"', "[0.5]", "1" + "0" * 400],
    ids=lambda value: value[:10],
)
@pytest.mark.parametrize("other", [0.5, 41.57])
def test_an_accuracy_is_a_fraction_or_in_percent(small: SearchSpace, write: Write, acc: str, other: float) -> None:
    path = write(f'{{"a": {{"acc": {other}, "arch": "2-2-4-8-6"}}, "b": {{"acc": {acc}, "arch": "4-2-4-8-6"}}}}')
    text = message(lambda: read_accuracies(path, small), path)
    assert "b: acc" in text
    assert "fraction from 0 to 1, nor in percent" in text


def test_a_file_of_percents_is_read_as_fractions_and_says_so_once(small: SearchSpace, write: Write, capsys: pytest.CaptureFixture) -> None:
    rows = {"a": (41.57, "4-2-4-8-6"), "b": (100, "2-2-2-2-2"), "c": (1, "2-2-2-2-4"), "d": (0, "2-2-2-2-6")}
    path = write({name: {"acc": acc, "arch": arch} for name, (acc, arch) in rows.items()})
    for _ in range(2):
        found = read_accuracies(path, small)
        assert {str(one): acc for one, acc in found.items()} == pytest.approx({"4-2-4-8-6": 0.4157, "2-2-2-2-2": 1, "2-2-2-2-4": 0.01})
    assert capsys.readouterr().err == f"{path}: its accuracies, 1 to 100, are taken as percent\n"


@pytest.mark.parametrize("acc", [1, 0.25])
def test_accuracies_up_to_1_are_fractions_without_a_word(
    acc: float, small: SearchSpace, write: Write, capsys: pytest.CaptureFixture
) -> None:
    assert list(read_accuracies(write({"a": {"acc": acc, "arch": "4-2-4-8-6"}}), small).values()) == [acc]
    assert capsys.readouterr().err == ""


def test_a_file_of_fractions_and_percents_is_refused_with_one_of_each(small: SearchSpace, write: Write) -> None:
    accs = {"2-2-2-2-2": 1, "2-2-2-2-4": 55.5, "2-2-2-2-6": 0.555, "2-2-2-2-8": 60}
    path = write({f"arch{row}": {"acc": acc, "arch": arch} for row, (arch, acc) in enumerate(accs.items(), start=1)})
    text = message(lambda: read_accuracies(path, small), path)
    assert "mixes fractions and percents: arch3 has 0.555, but arch2 has 55.5; give all accuracies in one of them" in text


def test_an_entry_without_accuracy_is_refused_where_accuracies_are_read(small: SearchSpace, write: Write) -> None:
    path = write({"b": {"arch": "4-2-4-8-6"}})
    assert "acc None" in message(lambda: read_accuracies(path, small), path)
    assert len(Population.read(path, small)) == 1


def test_a_sample_to_rank_is_not_the_sample_that_was_trained_on():
    space = SearchSpace("two", blocks=(1,), max_widths=(8,), width_step=1, resolution=8)
    population = Population.draw(space, 100, seed=0)
    trained, ranked = RandomSubset(20, seed=0)(population), population.sample(20, 0, "ranking sample")
    assert trained == population.sample(20, 0, "training list")
    assert set(trained) != set(ranked)
