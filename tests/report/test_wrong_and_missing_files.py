"""A report of what is there; of a file that is wrong, one line."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from example_run import change_json, estimate, write_example, write_json, write_text
from page_reader import points_of

from nas_lightning.errors import InputError
from nas_lightning.report import write_report
from nas_lightning.report.drawing import Hover
from nas_lightning.report.markdown import as_markdown
from nas_lightning.report.run import read_run
from nas_lightning.report.write import make_parts


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_example(tmp_path / "example")


def text_of(folder: Path) -> str:
    return as_markdown("run", make_parts(read_run(folder), points=3000), "report").replace("\\", "")


def figures_of(folder: Path) -> dict[str, Sequence[Hover]]:
    return points_of(make_parts(read_run(folder), points=3000))


MISSING = {
    "ranking/scores.csv": ("Nothing was ranked yet.", ("The best by score", "Agreement next to baselines", "Score against cost")),
    "ranking/agreement.json": ("How far to trust this order is unknown.", ("Agreement next to baselines",)),
    "ranking/known_accuracies.json": ("", ()),
    "ranking/protocol.json": ("", ("Protocol",)),
    "environment.json": ("", ("Environment",)),
    "config.yaml": ("", ("Recipe",)),
}


@pytest.mark.parametrize("name", MISSING)
def test_what_a_missing_file_would_show_is_left_out_and_the_rest_is_shown(name: str, folder: Path):
    if name == "config.yaml":  # without it top-1 chooses, and the codes' last entry counts
        write_json(folder / "ranking/known_accuracies.json", {"a": {"acc": 0.5, "arch": "4-4-4-4-4"}})
        (folder / "standalone/accuracies.csv").unlink()
    whole = text_of(folder)
    (folder / name).unlink()
    says, parts = MISSING[name]
    text = text_of(folder)
    assert says in text
    for part in parts:
        assert f"## {part}\n" in whole
        assert f"## {part}\n" not in text
    assert "Missing" not in text


def test_a_run_that_only_trained_shows_its_curves(tmp_path: Path, folder: Path):
    write_text(tmp_path / "run/stages/pretrain/metrics.csv", (folder / "stages/pretrain/metrics.csv").read_text())
    assert "Stages of the training with metrics: 1." in text_of(tmp_path / "run")
    assert set(figures_of(tmp_path / "run")) == {"training"}


def test_a_ranking_alone_is_shown_with_the_config_beside_it(tmp_path: Path, folder: Path):
    write_text(tmp_path / "run/ranking/scores.csv", (folder / "ranking/scores.csv").read_text())
    write_text(tmp_path / "run/ranking/config.yaml", "checkpoint: a.ckpt\nranking: {score: cross_entropy}\n")
    text = text_of(tmp_path / "run")
    assert "60 candidates are ranked by negative cross entropy" in text


def test_a_folder_of_trainings_alone_has_a_report_of_them(tmp_path: Path):
    rows = ["name,architecture,seed,accuracy", "a,4-4-4,0,0.5", "a,4-4-4,1,0.7", "b,8-4-4,0,0.9", "b,8-4-4,1,0.8"]
    write_text(tmp_path / "run/standalone/accuracies.csv", "\n".join(rows) + "\n")
    write_text(tmp_path / "run/standalone/config.yaml", "seed: 3\nstandalone: {epochs: 2}\n")
    text = text_of(tmp_path / "run")
    assert "Candidates trained alone: 2" in text
    assert "| 1 | 8-4-4 | 85.00 % | 7.07 points | 2 |" in text
    assert "| 2 | 4-4-4 | 60.00 % | 14.14 points | 2 |" in text
    assert "| seed | 3 |" in text
    assert "scores.csv" not in text
    page, text_file, _ = write_report(tmp_path / "run", 3000)
    assert page.stat().st_size > text_file.stat().st_size > 0


@pytest.mark.parametrize(
    ("name", "content", "holds"),
    [
        ("agreement.json", "{}", "but what nas-compare wrote"),
        ("scores.csv", "", "but a ranking: give run_dir="),
        ("0/config.yaml", "seed: 0\n", "but the runs of a multirun or a study: give sweep="),
        ("trials/0/config.yaml", "seed: 0\n", "but the runs of a multirun or a study: give sweep="),
        ("notes.txt", "", "none of config.yaml, stages/*/metrics.csv, ranking/scores.csv, standalone/accuracies.csv"),
    ],
)
def test_a_folder_of_something_else_is_refused_with_what_shows_it(name: str, content: str, holds: str, tmp_path: Path):
    write_text(tmp_path / "folder" / name, content)
    with pytest.raises(InputError, match="holds no run") as refused:
        read_run(tmp_path / "folder")
    assert holds in str(refused.value)


def test_truth_that_the_run_trained_is_used_where_none_was_given(folder: Path):
    (folder / "ranking/known_accuracies.json").rename(folder / "standalone/known_accuracies.json")
    assert "Each point is a candidate with an accuracy in standalone/known_accuracies.json." in text_of(folder)


def test_the_files_of_older_runs_are_read(folder: Path):
    path = folder / "ranking/agreement.json"
    content = json.loads(path.read_text())
    for group in ("scores", "baselines"):
        for score in content[group].values():
            for key in ("weighted_kendall", "kendall_top_third", "best_rank", "regret"):
                del score[key]
            score["top_k_overlap"] = {"10": 0.4375}
    for key in ("fitted", "ceiling"):
        del content[key]
    write_json(path, content)
    text = text_of(folder)
    assert "0.44 (chance: " in text
    assert "fitted" not in text
    assert "stands at place" not in text


def test_an_agreement_without_order_is_told_as_such(folder: Path):
    path = folder / "ranking/agreement.json"
    scores = json.loads(path.read_text())["scores"]
    nothing = {"value": None, "low": None, "high": None}
    scores["negative cross entropy"] |= {"constant": True, **dict.fromkeys(("kendall", "pearson", "spearman"), nothing)}
    change_json(path, scores=scores, ceiling=None, fitted={})
    text = text_of(folder)
    assert "How far to trust this order is unknown." in text
    assert "the score is the same for all of them" in text


def test_a_baseline_without_kendall_is_none_to_beat(folder: Path):
    path = folder / "ranking/agreement.json"
    content = json.loads(path.read_text())
    for one in content["baselines"].values():
        one.pop("kendall")
    change_json(path, baselines=content["baselines"])
    assert "cannot be compared with a baseline: one side has no order." in text_of(folder)


def test_accuracies_that_are_all_equal_are_told_as_such(folder: Path):
    path = folder / "ranking/agreement.json"
    content, nothing = json.loads(path.read_text()), {"value": None, "low": None, "high": None}
    for one in (*content["scores"].values(), *content["baselines"].values()):
        one |= dict.fromkeys(("kendall", "pearson", "spearman"), nothing)
    change_json(path, scores=content["scores"], baselines=content["baselines"], ceiling=None, fitted={})
    text = text_of(folder)
    assert "The known accuracies are all equal" in text
    assert "the score is the same" not in text


def test_an_interval_that_is_not_defined_is_left_out(folder: Path):
    path = folder / "ranking/agreement.json"
    scores = json.loads(path.read_text())["scores"]
    scores["negative cross entropy"]["kendall"] = {"value": 0.7, "low": None, "high": None}
    change_json(path, scores=scores)
    assert "the score puts the better one first in 85 % of the cases" in text_of(folder)


@pytest.mark.parametrize(
    ("ties", "says"),
    [
        (0.01, "the score puts the better one first in 85 % of the cases"),
        (0.36, "Kendall's tau-b is 0.700; 0 is what a coin gets, 1 the same order. The score is the same for both in 36 % of the pairs."),
        (None, "Kendall's tau-b is 0.700; 0 is what a coin gets, 1 the same order. Pearson"),
    ],
)
def test_a_share_of_pairs_is_told_only_of_scores_that_hardly_tie(ties: float | None, says: str, folder: Path):
    path = folder / "ranking/agreement.json"
    scores = json.loads(path.read_text())["scores"]
    scores["negative cross entropy"] |= {"kendall": {"value": 0.7, "low": None, "high": None}, "ties": ties}
    change_json(path, scores=scores)
    assert says in text_of(folder)


SCORES = "name,architecture,top1,top5,cross_entropy,macs,parameters\n"
WRONG = [
    ("ranking/scores.csv", "", ["has no column name"]),
    ("ranking/scores.csv", SCORES, ["holds no scores"]),
    ("ranking/scores.csv", f"{SCORES}a,4-4-4-4-4-4,0.5,0.9,2.0,100", ["line 2", "is not a row of"]),
    ("ranking/scores.csv", f"{SCORES}a,4-4-4-4-4-4,0.5,0.9,2.0,100,10,7\n", ["line 2", "is not a row of"]),
    ("ranking/scores.csv", f"{SCORES}a,4-4-4-4-4-4,0.5,0.9,nan,100,10\n", ["line 2", "finite"]),
    ("ranking/scores.csv", f"{SCORES}a,4-x-4-4-4-4,0.5,0.9,2.0,100,10\n", ["line 2", "4-x-4"]),
    ("ranking/scores.csv", f"{SCORES}a,4-4-4-4-4-4,0.5,0.9,2.0,100,10\nb,4-4,0.5,0.9,2.0,100,10\n", ["line 3", "has 2 entries"]),
    ("ranking/scores.csv", f"{SCORES}a,4-4,0.5,0.9,2.0,100,10\n", ["line 2", "2 entries", "5 layers"]),
    ("ranking/scores.csv", b"\xff\xfe\x00", ["is not a CSV table"]),
    ("ranking/agreement.json", '{"n": 3, "scores": {', ["is not JSON"]),
    ("ranking/agreement.json", "[]", ["must be a JSON object, not a list"]),
    ("ranking/agreement.json", '{"n": NaN}', ["NaN"]),
    ("ranking/agreement.json", '{"n": "many"}', ["n: 'many' is not a count"]),
    ("ranking/agreement.json", '{"n": 3, "scores": {"top-1": {"kendall": "high"}}}', ["scores.top-1.kendall", "'high'"]),
    ("ranking/agreement.json", '{"n": 3, "scores": {"top-1": {"kendall": {"value": 1e999}}}}', ["scores.top-1.kendall", "is not a number"]),
    ("ranking/agreement.json", '{"n": 3, "scores": {"top-1": 4}}', ["scores.top-1", "object"]),
    ("ranking/agreement.json", '{"n": 3, "baselines": {"a": {"regret": {"x": 1}}}}', ["baselines.a.regret", "'x'"]),
    ("ranking/agreement.json", f'{{"n": 3, "scores": {{"a": {{"kendall": {"9" * 400}}}}}}}', ["scores.a.kendall"]),
    ("ranking/agreement.json", "[" * 100_000, ["is not JSON"]),
    (
        "ranking/known_accuracies.json",
        '{"a": {"acc": 63.1, "arch": "4-4-4-4-4"}, "b": {"acc": 0.5, "arch": "4-4-4-4-2"}}',
        ["mixes fractions and percents"],
    ),
    ("ranking/known_accuracies.json", '{"a": {"acc": 0.5}}', ["a: ", "arch"]),
    ("ranking/protocol.json", "{", ["is not JSON"]),
    ("ranking/halves.json", '{"kendall": 2, "candidates": 3}', ["halves.json", "rank again"]),
    ("ranking/halves.json", '{"kendall": 0.5, "candidates": "many"}', ["halves.json", "rank again"]),
    ("environment.json", "3", ["JSON object"]),
    ("config.yaml", "stages: [", ["is not YAML"]),
    ("config.yaml", "- a", ["must be a mapping"]),
    ("config.yaml", "ranking: {score: best}", ["'best'", "top1, cross_entropy"]),
    ("config.yaml", "ranking: {score: predicted}", ["scores.csv", "predicted"]),
    ("stages/pretrain/metrics.csv", "loss\n3\n", ["has no column step"]),
    ("stages/pretrain/metrics.csv", "step,loss\n0,1.5\n1", ["line 3", "is not a row of step,loss"]),
    ("stages/pretrain/metrics.csv", "step,loss\n0,high\n", ["line 2", "loss", "'high'"]),
    ("stages/pretrain/metrics.csv", "step,loss\n1e300,2\n", ["line 2", "step: '1e300' must be from 0 to"]),
    ("standalone/accuracies.csv", "name,seed\n", ["has no column architecture, accuracy"]),
]


@pytest.mark.parametrize(("name", "content", "holds"), WRONG)
def test_a_wrong_file_is_named_in_one_line_and_nothing_is_written(name: str, content: str | bytes, holds: list[str], folder: Path):
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as refused:
        write_report(folder, points=3000)
    for part in [Path(name).name if "config" not in name or "YAML" in holds[0] else "", *holds]:
        assert part in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not list(folder.glob("report*"))


def test_a_folder_without_a_run_is_refused(tmp_path: Path):
    for folder, holds in ((tmp_path, "holds no run"), (tmp_path / "none", "is not a folder")):
        with pytest.raises(InputError, match=holds):
            write_report(folder, points=3000)


def test_metrics_that_were_not_finite_leave_a_gap(folder: Path):
    write_text(folder / "stages/pretrain/metrics.csv", "step,loss\n0,2.5\n1,nan\n2,inf\n3,1.5\n")
    loss, *_ = figures_of(folder)["training"]
    assert loss.y[:2] == [2.5, 1.5]


def test_numbers_and_estimates_of_one_value_are_read_alike(folder: Path):
    path = folder / "ranking/agreement.json"
    baselines = {"as a number": {"kendall": 0.31}, "as an estimate": {"kendall": estimate(0.31, 0.0)}}
    change_json(path, baselines=baselines, beats={})
    text = text_of(folder)
    assert "| as a number | baseline | 0.310 |" in text
    assert "| as an estimate | baseline | 0.310 [0.310, 0.310] |" in text
