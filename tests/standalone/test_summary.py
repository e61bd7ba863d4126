"""What trainings alone gave: the file, the table, and the agreement with the list's own accuracies."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas_lightning.space import Architecture, Population, SearchSpace
from nas_lightning.standalone import truth
from nas_lightning.standalone.summary import table, write_summary
from nas_lightning.standalone.truth import GroundTruth

SPACE = SearchSpace("tiny", (1, 1), (8, 12), 2, 8)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_summary_is_a_hand_calculation(tmp_path: Path):
    population = Population.draw(SPACE, 2, 0)
    write_summary(tmp_path / "summary.csv", GroundTruth(population, np.array([[0.50, 0.60, 0.70], [0.40, 0.40, 0.46]])))
    first, second = rows(tmp_path / "summary.csv")
    assert first == {
        "name": "arch1",
        "architecture": population[0].text,
        "mean": "0.600000",
        "standard_deviation": "0.100000",
        "lowest": "0.500000",
        "highest": "0.700000",
        "seeds": "3",
    }
    # Squared distances 0.02^2, 0.02^2 and 0.04^2, over 3 - 1.
    assert (second["mean"], second["standard_deviation"], second["lowest"], second["highest"]) == (
        "0.420000",
        "0.034641",
        "0.400000",
        "0.460000",
    )


def test_with_one_seed_there_is_no_deviation(tmp_path: Path):
    one_seed = GroundTruth(Population.draw(SPACE, 2, 0), np.array([[0.5], [0.6]]))
    write_summary(tmp_path / "summary.csv", one_seed)
    assert [(row["mean"], row["standard_deviation"], row["seeds"]) for row in rows(tmp_path / "summary.csv")] == [
        ("0.500000", "", "1"),
        ("0.600000", "", "1"),
    ]
    assert "+-" not in table(one_seed, {})


@pytest.mark.parametrize(("candidates", "shown"), [(1, 1), (12, 12), (13, 13), (14, 12), (40, 12)])
def test_the_table_has_the_best_and_the_worst_in_at_most_15_lines(candidates: int, shown: int):
    population = Population.draw(SPACE, candidates, 0)
    accuracies = np.random.default_rng(0).random((candidates, 2))
    lines = table(GroundTruth(population, accuracies), {}).splitlines()
    assert len(lines) <= 15
    best = sorted(range(candidates), key=lambda row: -accuracies[row].mean())
    names = [population[row].name for row in best]
    if candidates > shown:
        names[shown - 2 : -2] = ["..."]
        assert lines[shown] == f"... {candidates - shown} more ..."
    assert [line.split()[0] for line in lines[2:]] == names
    assert lines[2].split()[1] == f"{100 * accuracies[best[0]].mean():.2f}"


def test_known_accuracies_stand_beside_the_trained_ones():
    population = Population.draw(SPACE, 2, 0)
    known = dict(zip(population.architectures, (0.7, 0.8), strict=True))
    lines = table(GroundTruth(population, np.array([[0.1, 0.3], [0.5, 0.5]])), known).splitlines()
    assert [line.split() for line in lines[2:]] == [
        ["arch2", "50.00", "+-", "0.00", "80.00", population[1].text],
        ["arch1", "20.00", "+-", "14.14", "70.00", population[0].text],
    ]


def by_widths(architecture: Architecture, *__: Any) -> float:
    """An accuracy that orders candidates, in no time."""
    return sum(architecture.widths) / 1000


@pytest.fixture
def run(tmp_path: Path, command: Callable, monkeypatch: pytest.MonkeyPatch) -> Callable:
    """Trains, in no time, five candidates that a file gives with these accuracies."""
    population = Population.draw(SearchSpace("resnet_tiny", (1, 1, 1), (8, 12, 16), 2, 8), 5, 0)
    monkeypatch.setattr(truth, "train_alone", by_widths)

    def go(accuracies: Callable[[Architecture], float]) -> Any:
        population.write(tmp_path / "list.json", [accuracies(one) for one in population.architectures])
        options = ["space=resnet_tiny", "data=digits", "data.train_images=64", "standalone.epochs=1"]
        return command("standalone", *options, f"population.file={tmp_path}/list.json", f"run_dir={tmp_path}/run")

    return go


def test_the_command_says_how_far_trained_and_known_accuracies_agree(run: Callable, tmp_path: Path):
    done = run(lambda one: 0.9 - sum(one.widths) / 1000)
    assert done.code == 0, done.err
    line = next(line for line in done.out.splitlines() if line.startswith("trained alone"))
    assert line.split()[2] == "-1.000"  # Kendall: exactly the other way round
    assert "\n5 architectures" in done.out
    assert "list.json" in done.out
    assert len(rows(tmp_path / "run/standalone/summary.csv")) == 5
    written = json.loads((tmp_path / "run/standalone/known_accuracies.json").read_text())
    assert [f"{one['acc']:.6f}" for one in written.values()] == [row["mean"] for row in rows(tmp_path / "run/standalone/summary.csv")]


@pytest.mark.parametrize("accuracies", [lambda _: 0, lambda one: -float(sum(one.widths))], ids=["all zero", "scores"])
def test_a_list_without_accuracies_is_compared_with_nothing(accuracies: Callable, run: Callable):
    done = run(accuracies)
    assert done.code == 0, done.err
    assert "architectures" not in done.out
    assert "known " not in done.out.splitlines()[1]


def test_a_rankings_scores_stand_beside_and_are_compared(micro: Path, command: Callable, tmp_path: Path):
    listed = micro / "standalone" / "known_accuracies.json"
    arguments = ["data=digits", "data.train_images=60", "space=resnet_tiny", "standalone=short", "standalone.epochs=1"]
    arguments += [f"population.file={listed}", f"run_dir={tmp_path}/run", "standalone.count=4", "standalone.choose=accuracy"]
    done = command("standalone", *arguments, f"scores={micro}/ranking/scores.csv")
    assert done.code == 0, done.err
    with (micro / "ranking" / "scores.csv").open(newline="") as file:
        losses = {row["architecture"]: float(row["cross_entropy"]) for row in csv.DictReader(file)}
    trained = json.loads((tmp_path / "run" / "standalone" / "known_accuracies.json").read_text())
    for row in trained.values():
        line = next(line for line in done.out.splitlines() if line.endswith(row["arch"]))
        assert f"{losses[row['arch']]:.4f}" in line
    assert "with what was trained alone" in " ".join(done.out.split())
    assert done.out.count("supernet ") >= 2
    few = tmp_path / "few.csv"
    few.write_text("\n".join((micro / "ranking" / "scores.csv").read_text().splitlines()[:2]) + "\n")
    done = command("standalone", *arguments, f"scores={few}")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert f"scores: {few} lacks" in done.err
