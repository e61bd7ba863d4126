"""An ``acc`` of 0, the challenge's word for unknown, is no accuracy."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from nas_lightning.space import Population, SearchSpace
from nas_lightning.standalone import truth

SPACE = SearchSpace("resnet_tiny", (1, 1, 1), (8, 12, 16), 2, 8)
TINY = ["space=resnet_tiny", "data=digits", "data.train_images=64", "standalone.epochs=1", "standalone.choose=accuracy"]


def known_of(micro: Path, path: Path, unknown: int) -> Path:
    """The candidates of micro with an accuracy each, but for the first ``unknown``."""
    listed = json.loads((micro / "ranking/submission.json").read_text())
    rows = {name: {**row, "acc": 0 if number < unknown else 0.3 + number / 100} for number, (name, row) in enumerate(listed.items())}
    path.write_text(json.dumps(rows))
    return path


@pytest.fixture
def start(micro: Path) -> list[str]:
    listed = f"ranking.list={micro}/ranking/submission.json"
    return [f"checkpoint={micro}/supernet.safetensors", listed, "ranking.images=60", "ranking.resamples=20"]


@pytest.mark.slow
def test_a_half_filled_list_counts_by_half_and_the_line_says_so(start: list[str], micro: Path, tmp_path: Path, command: Callable):
    known = known_of(micro, tmp_path / "known.json", unknown=14)
    done = command("rank", *start, f"ranking.known_accuracies={known}", f"run_dir={tmp_path}/run")
    assert done.code == 0, done.err
    assert "\n10 of 24 candidates have a known accuracy\n" in done.out
    written = json.loads((tmp_path / "run/ranking/agreement.json").read_text())
    assert (written["n"], written["missing"]) == (10, 0)
    assert len(json.loads((tmp_path / "run/ranking/known_accuracies.json").read_text())) == 10
    report = command("report", f"run_dir={tmp_path}/run")
    assert report.code == 0, report.err
    assert "compared with 10 known accuracies" in (tmp_path / "run/report.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("unknown", [22, 24])
def test_a_list_with_too_few_known_accuracies_scores_nothing(
    unknown: int, start: list[str], micro: Path, tmp_path: Path, command: Callable
):
    known = known_of(micro, tmp_path / "known.json", unknown)
    says = f"known.json: has accuracies of {24 - unknown} of the 24 candidates, where an acc of 0 is unknown; agreement needs at least 3"
    for arguments in (["rank", *start], ["train", "experiment=micro"]):
        done = command(*arguments, f"ranking.known_accuracies={known}", f"run_dir={tmp_path}/run")
        assert (done.code, done.err.count("\n")) == (2, 1), done.err
        assert says in done.err
    assert not (tmp_path / "run/stages").exists()
    assert not (tmp_path / "run/ranking/parts").exists()
    tables = [f"{place}={micro}/ranking/scores.csv" for place in ("first", "second")]
    done = command("compare", *tables, "space=resnet_tiny", "resamples=20", f"known_accuracies={known}")
    assert (done.code, done.err.count("\n"), done.out) == (2, 1, ""), done.err
    assert f"has accuracies of {24 - unknown} of the candidates in both tables" in done.err


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The architectures that are trained alone, in place of a training."""
    found: list[str] = []

    def instead(architecture: object, *__: object) -> float:
        found.append(str(architecture))
        return 0.4 + len(found) / 100

    monkeypatch.setattr(truth, "train_alone", instead)
    return found


@pytest.mark.parametrize("count", ["null", "3"])
def test_a_list_of_unknown_accuracies_is_not_chosen_from_by_accuracy(count: str, tmp_path: Path, command: Callable, trained: list[str]):
    Population.draw(SPACE, 9, 0).write(tmp_path / "list.json")
    done = command("standalone", *TINY, f"population.file={tmp_path}/list.json", f"standalone.count={count}", f"run_dir={tmp_path}/run")
    assert (done.code, done.err.count("\n"), done.out) == (2, 1, ""), done.err
    assert "standalone.choose: accuracy needs known accuracies, and" in done.err
    assert not trained


@pytest.mark.usefixtures("trained")
def test_only_candidates_with_a_known_accuracy_are_chosen_by_accuracy(tmp_path: Path, command: Callable):
    listed, population = tmp_path / "list.json", Population.draw(SPACE, 9, 0)
    population.write(listed, [0, 0.9, 0.1, 0, 0.3, 0.8, 0, 0.6, 0])
    start = [*TINY, f"population.file={listed}"]
    refused = command("standalone", *start, "standalone.count=6", f"run_dir={tmp_path}/six")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "standalone.count: 6 is more than can be chosen by accuracy: 5 of 9 candidates of" in refused.err
    for count, names in (("3", ["arch2", "arch3", "arch8"]), ("null", ["arch2", "arch3", "arch5", "arch6", "arch8"])):
        done = command("standalone", *start, f"standalone.count={count}", f"run_dir={tmp_path}/{count}")
        assert done.code == 0, done.err
        assert list(json.loads((tmp_path / count / "standalone/known_accuracies.json").read_text())) == names
        assert f"{len(names)} of {len(names)} candidates have a known accuracy" in done.out


def test_a_training_beside_a_half_filled_list_is_compared_where_it_can(tmp_path: Path, command: Callable, trained: list[str]):
    listed = tmp_path / "list.json"
    Population.draw(SPACE, 6, 0).write(listed, [0, 0.9, 0.1, 0, 0.3, 0.8])
    done = command("standalone", *TINY, "standalone.choose=cost", f"population.file={listed}", f"run_dir={tmp_path}/run")
    assert done.code == 0, done.err
    assert len(trained) == 6
    assert "4 of 6 candidates have a known accuracy" in done.out
    assert "4 architectures" in done.out


def test_an_architecture_under_two_names_is_trained_once(tmp_path: Path, command: Callable, trained: list[str]):
    drawn = Population.draw(SPACE, 3, 0)
    rows = {f"{one.name} {copy}": {"acc": 0, "arch": one.text} for copy in "ab" for one in drawn}
    (tmp_path / "list.json").write_text(json.dumps(rows))
    done = command("standalone", *TINY, "standalone.choose=cost", f"population.file={tmp_path}/list.json", f"run_dir={tmp_path}/run")
    assert done.code == 0, done.err
    assert "standalone: 3 of 6 names are copies of other candidates, which are trained once\n" in done.err
    assert sorted(trained) == sorted(one.text for one in drawn)
    with (tmp_path / "run/standalone/summary.csv").open(newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == ["arch1 a", "arch2 a", "arch3 a"]


@pytest.mark.usefixtures("trained")
def test_a_summary_does_not_outlive_the_trainings_it_is_of(tmp_path: Path, command: Callable, monkeypatch: pytest.MonkeyPatch):
    Population.draw(SPACE, 6, 0).write(tmp_path / "list.json")
    start = [*TINY, "standalone.choose=cost", f"population.file={tmp_path}/list.json", f"run_dir={tmp_path}/run"]
    assert command("standalone", *start).code == 0
    assert (tmp_path / "run/standalone/summary.csv").is_file()

    def killed(*_: object) -> None:
        raise SystemExit(130)

    monkeypatch.setattr("nas_lightning.standalone.truth.train_ground_truth", killed)
    command("standalone", *start, "standalone.count=3")
    assert not (tmp_path / "run/standalone/summary.csv").exists()
