"""What was made from older scores, accuracies or configs goes, or is marked, when they change."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas_lightning.commands import write_ranking as module
from nas_lightning.commands.outcome import finished, write_outcome
from nas_lightning.commands.write_ranking import Known, write_and_print
from nas_lightning.report.markdown import as_markdown
from nas_lightning.report.run import read_run
from nas_lightning.report.write import make_parts
from nas_lightning.runs.claim import claim_config
from nas_lightning.scoring.protocol import claim
from nas_lightning.scoring.table import Score, ScoreTable
from nas_lightning.search.successive_halving import Halving, RungResult
from nas_lightning.space import Population, ResidualStructure, SearchSpace

SPACE = SearchSpace("tiny", (1, 1), (8, 12), 2, 8, trailing_entries=1)
LISTED = Population.draw(SPACE, 24, 0)
LOSSES = np.random.default_rng(0).uniform(1, 2, 24)
KNOWN = Known(dict(zip(LISTED.architectures, (1 - LOSSES / 3).tolist(), strict=True)))


def table_of(count: int, shift: float = 0.0) -> ScoreTable:
    scores = [Score(0.5, 0.9, float(loss) + shift) for loss in LOSSES[:count]]
    some = Population(SPACE, LISTED.candidates[:count])
    return ScoreTable.of(some, scores, ResidualStructure(SPACE, 5, 1))


def rank(folder: Path, table: ScoreTable, known: Known | None, score: str = "cross_entropy") -> None:
    """The end of a ranking, after its scores are computed."""
    claim(folder / "ranking", {"images": 5})
    write_and_print(table, folder / "ranking", score, None, 20, known)


def test_a_doubt_is_shown_beside_what_successive_halving_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    claim(tmp_path / "ranking", {"images": 5})
    halving = Halving([], [RungResult(5, 24, 0)], 3)
    write_and_print(table_of(24), tmp_path / "ranking", "cross_entropy", None, 20, None, cheap_first=halving, doubt="Worse than guessing.")
    assert "Worse than guessing." in capsys.readouterr().out


def names(folder: Path) -> set[str]:
    return {path.name for path in (folder / "ranking").iterdir()}


def report_of(folder: Path) -> str:
    return as_markdown("run", make_parts(read_run(folder), 100), "report").replace("\\", "")


@pytest.fixture
def ranked(tmp_path: Path) -> Path:
    """A ranking of 24 with their known accuracies, and a report."""
    rank(tmp_path, table_of(24), KNOWN)
    for name in ("report.html", "report.md"):
        (tmp_path / name).write_text("of 24")
    assert "compared with 24 known accuracies" in report_of(tmp_path)
    return tmp_path


def test_a_smaller_ranking_does_not_keep_the_agreement_of_a_larger(ranked: Path, capsys: pytest.CaptureFixture[str]):
    rank(ranked, table_of(3), None)
    assert names(ranked) == {"scores.csv", "submission.json", "protocol.json"}
    assert not list(ranked.glob("report.*"))
    text = report_of(ranked)
    assert "3 candidates are ranked by negative cross entropy." in text
    assert "No candidate's accuracy is known" in text
    assert "Kendall tau-b of the score" not in text
    gone = "known_accuracies.json, agreement.json, report.html, report.md"
    assert capsys.readouterr().err == f"removed, as the scores that they were made from, or their order, changed: {gone}\n"


def test_the_same_scores_keep_what_was_made_from_them(ranked: Path):
    before = {path: path.read_bytes() for path in sorted(ranked.rglob("*")) if path.is_file()}
    rank(ranked, table_of(24), None)
    assert {path: path.read_bytes() for path in sorted(ranked.rglob("*")) if path.is_file()} == before


@pytest.mark.parametrize("where", ["write_order", "agreement_with", "write_agreement", "write_json"])
def test_a_kill_at_any_step_leaves_no_agreement_of_other_scores(where: str, ranked: Path, monkeypatch: pytest.MonkeyPatch):
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    other = Known({one: accuracy / 2 for one, accuracy in KNOWN.accuracies.items()})
    with monkeypatch.context() as patched:
        patched.setattr(module, where, killed)
        with pytest.raises(KeyboardInterrupt):
            rank(ranked, table_of(24, shift=0.1), other)
    assert "agreement.json" not in names(ranked)
    assert "How far to trust this order is unknown." in report_of(ranked)
    rank(ranked, table_of(24, shift=0.1), other)
    assert "compared with 24 known accuracies" in report_of(ranked)


@pytest.mark.parametrize("name", ["scores.csv", "known_accuracies.json"])
def test_a_file_changed_by_hand_takes_the_agreement_out_of_the_report(name: str, ranked: Path, tmp_path_factory: pytest.TempPathFactory):
    other = tmp_path_factory.mktemp("other")
    rank(other, table_of(20), KNOWN)
    shutil.copy(other / "ranking" / name, ranked / "ranking" / name)
    text = report_of(ranked)
    assert f"ranking/agreement.json is left out: it was made from another {name} than the folder holds." in text
    assert "known accuracies, ordered by" not in text


def test_truth_trained_again_takes_the_agreement_out_of_the_report(tmp_path: Path):
    trained = tmp_path / "standalone/known_accuracies.json"
    LISTED.write(trained, KNOWN.accuracies.values())
    rank(tmp_path, table_of(24), Known(KNOWN.accuracies, trained=trained))
    assert "compared with 24 known accuracies" in report_of(tmp_path)
    LISTED.write(trained, [0.5] * 24)
    assert "it was made from another standalone/known_accuracies.json than the folder holds" in report_of(tmp_path)


def test_another_order_is_written_with_its_submission(ranked: Path):
    rank(ranked, table_of(24), None, score="top1")
    assert json.loads((ranked / "ranking/protocol.json").read_text())["ordered_by"] == "top1"
    assert {one["acc"] for one in json.loads((ranked / "ranking/submission.json").read_text()).values()} == {0.5}
    assert "agreement.json" in names(ranked)  # of all scores
    assert "24 candidates are ranked by top-1; the order is compared with 24 known accuracies" in report_of(ranked)


def test_a_comparison_does_not_outlive_the_tables_it_was_made_from(ranked: Path, tmp_path: Path, command: Callable):
    scores, known = ranked / "ranking/scores.csv", ranked / "ranking/known_accuracies.json"
    space = ["space=resnet_tiny", "space.blocks=[1,1]", "space.max_widths=[8,12]", "space.trailing_entries=1", "resamples=20"]
    tables = [f"first={scores}", f"second={scores}", *space]
    assert command("compare", *tables, f"known_accuracies={known}", f"run_dir={tmp_path}/out").code == 0
    assert set(json.loads((tmp_path / "out/comparison.json").read_text())["made_from"]) == {"first", "second", "known_accuracies"}
    assert command("compare", *tables, f"run_dir={tmp_path}/out").code == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["agreement.json"]
    before = (ranked / "ranking/agreement.json").read_bytes()
    refused = command("compare", *tables, f"run_dir={ranked}/ranking")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "holds a ranking, whose own agreement.json would be lost" in refused.err
    assert (ranked / "ranking/agreement.json").read_bytes() == before
    shutil.copy(tmp_path / "out/agreement.json", ranked / "ranking/agreement.json")
    assert "made from another scores.csv than the folder holds" in report_of(ranked)


@pytest.mark.parametrize(
    ("table", "known", "score"),
    [
        (table_of(24, shift=0.1), KNOWN, "cross_entropy"),
        (table_of(24), Known({one: 0.5 + accuracy / 2 for one, accuracy in KNOWN.accuracies.items()}), "cross_entropy"),
        (table_of(24), KNOWN, "top1"),
    ],
    ids=["scores", "accuracies", "order"],
)
def test_a_runs_value_does_not_outlive_what_it_was_made_from(table: ScoreTable, known: Known, score: str, ranked: Path):
    (ranked / "finished.json").write_text("{}")
    rank(ranked, table_of(24), KNOWN)
    assert (ranked / "finished.json").exists()
    rank(ranked, table, known, score)
    assert not (ranked / "finished.json").exists()
    assert not list(ranked.glob("report.*"))


def test_a_run_that_is_to_be_longer_is_not_taken_for_finished(tmp_path: Path):
    config = {"stages": {"only": {"epochs": 2}}}
    claim_config(tmp_path, config)
    (tmp_path / "finished.json").write_text("{}")
    claim_config(tmp_path, config)
    assert (tmp_path / "finished.json").exists()
    claim_config(tmp_path, {"stages": {"only": {"epochs": 3}}})
    assert not (tmp_path / "finished.json").exists()


@pytest.mark.parametrize(
    "place",
    [
        *("ranking.known_accuracies", "ranking.list", "population.file", "initial_checkpoint", "network.weights"),
        *("stages.a.objective.checkpoint", "stages.a.sampler.choose.path"),
    ],
)
def test_a_run_whose_input_file_changed_is_not_finished(place: str, tmp_path: Path):
    known = tmp_path / "known.json"
    known.write_text("{}")
    config: dict[str, Any] = {
        "returns": "agreement",
        "ranking": {"list": None},
        "population": {"file": None},
        "data": {"root": str(tmp_path)},
    }
    *above, key = place.split(".")
    node = config
    for name in above:
        node = node.setdefault(name, {})
    node[key] = str(known)
    write_outcome(tmp_path, config, 0.5, 1.0)
    assert finished(tmp_path, config) is not None
    known.write_text('{"a": 1}')
    assert finished(tmp_path, config) is None


def test_a_report_goes_when_one_of_its_rankings_changes(tmp_path: Path):
    folder = tmp_path / "ranking" / "last"
    for shift in (0.0, 1.0):
        claim(folder, {"images": 5})
        write_and_print(table_of(24, shift), folder, "cross_entropy", None, 20, None)
        assert not (tmp_path / "report.html").exists()
        (tmp_path / "report.html").write_text("made from what is there")
