"""What a report says and shows of a run."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from example_run import LAYERS, agreement, change_json, write_example, write_json, write_metrics, write_scores, write_text
from page_reader import Page, points_of
from scipy.stats import kendalltau

from nas_lightning.agreement.summary import against_baselines
from nas_lightning.errors import InputError
from nas_lightning.report import write_report
from nas_lightning.report.content import Table
from nas_lightning.report.drawing import Hover
from nas_lightning.report.markdown import as_markdown
from nas_lightning.report.parts.scores import pareto_front
from nas_lightning.report.run import read_run
from nas_lightning.report.write import make_parts
from nas_lightning.runs.made_from import hashes
from nas_lightning.scoring.prediction import LayerEffect, Prediction


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with its report; read it, do not change it."""
    folder = write_example(tmp_path_factory.mktemp("report") / "example")
    write_report(folder, points=3000)
    return folder


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return Page.parse((folder / "report.html").read_text(encoding="utf-8"))


def text_of(folder: Path, points: int = 3000) -> str:
    """A report's text, without its pictures."""
    return as_markdown("run", make_parts(read_run(folder), points), "report")


def figures_of(folder: Path, points: int = 3000) -> dict[str, Sequence[Hover]]:
    return points_of(make_parts(read_run(folder), points))


def curves(folder: Path) -> dict[str, Hover]:
    """The training's curves by label."""
    return {curve.texts[0].split("\n")[0]: curve for curve in figures_of(folder)["training"]}


SAID = [
    "The order tells good candidates from bad ones; it does not settle close calls. A baseline that needs no training does better.",
    "60 candidates are ranked by negative cross entropy; the order is compared with 40 known accuracies.",
    "the score puts the better one first in 85 % [82 %, 88 %] of the cases; a coin in 50 %.",
    "negative cross entropy is beaten by the best baseline, last width",
]


@pytest.mark.parametrize("said", SAID)
def test_the_verdict_says_in_the_page_and_in_the_text(said: str, folder: Path, page: Page):
    assert said in " ".join(page.text.split())
    assert said in (folder / "report.md").read_text(encoding="utf-8").replace("\\", "")


def test_the_verdict_tells_what_the_best_by_score_hold(folder: Path):
    text = (folder / "report.md").read_text(encoding="utf-8").replace("\\", "").split("\n## ")[1]
    assert "Kendall tau-b of the score, negative cross entropy | best baseline without training | noise ceiling of the known" in text
    kendalls = ("0.700 [0.650, 0.750], 40 known accuracies", "0.420 [0.370, 0.470], last width", "0.900 [0.850, 0.950], 3 seeds")
    assert f"| {' | '.join(kendalls)} |" in text
    assert "| 10 | 0.40 [0.35, 0.45] (chance: 0.25) | 2 [1, 3] of 40 | 0.40 [0.20, 0.60] |" in text


@pytest.mark.parametrize(
    ("kendall", "said"),
    [
        (0.9, "can be trusted"),
        (0.7, "does not settle close calls"),
        (0.4, "coarse sieve"),
        (0.1, "a little better"),
        (0.04, "No agreement"),
    ],
)
def test_the_headline_follows_the_lower_end_of_the_interval(kendall: float, said: str, tmp_path: Path):
    write_example(tmp_path)
    write_json(tmp_path / "ranking/agreement.json", agreement(40, kendall))
    assert said in text_of(tmp_path).split("\n## ")[1]


def test_a_score_beats_a_baseline_from_95_percent_of_resamples(tmp_path: Path):
    write_example(tmp_path)
    write_json(tmp_path / "ranking/agreement.json", agreement(40, chances=(0.95, 0.949, 0.05)))
    text = text_of(tmp_path)
    for row in ("| parameters | 95.0 % |", "| multiply-adds | 94.9 % |", "| last width | 5.0 % |"):
        assert row in text


@pytest.mark.parametrize(
    ("chance", "outcome", "warning"),
    [
        (0.95, "beats", ""),
        (0.949, "may or may not beat", "A baseline that needs no training may do as well."),
        (0.05, "is beaten by", "A baseline that needs no training does better."),
    ],
)
def test_the_page_names_the_best_baseline_as_the_terminal_does(chance: float, outcome: str, warning: str, tmp_path: Path):
    write_example(tmp_path)
    write_json(tmp_path / "ranking/agreement.json", agreement(40, chances=(0.0, 0.0, chance)))  # last width is the best
    verdict = text_of(tmp_path).split("\n## ")[1]
    agreed = read_run(tmp_path).agreement
    assert agreed is not None
    sentence = against_baselines(agreed, "negative cross entropy")
    assert f"**Against baselines.** {sentence}." in verdict
    assert f" {outcome} the best baseline, last width" in sentence
    assert ("A baseline" in verdict) == bool(warning)
    assert warning in verdict


def test_few_known_accuracies_cannot_tell_and_the_page_says_how_to_get_more(tmp_path: Path):
    folder = write_example(tmp_path / "run", known=8)
    content = agreement(8, 0.3)
    content["scores"]["negative cross entropy"]["kendall"] = {"value": 0.3, "low": -0.4, "high": 0.8}
    write_json(folder / "ranking/agreement.json", content)
    verdict = text_of(folder).replace("\\", "").split("\n## ")[1]
    assert verdict.startswith("Cannot tell yet: 8 known accuracies are too few to judge the order.\n")
    assert "Train more candidates alone before choosing by it. Kendall may lie anywhere from -0.40 to 0.80; " in verdict
    assert "choose by it:" not in verdict
    assert f"python train.py experiment=example standalone.enabled=true standalone.count=24 run_dir={folder}" in verdict


def test_few_known_accuracies_are_called_a_hint(tmp_path: Path):
    write_example(tmp_path, known=12)
    assert "12 known accuracies, which are few: take all that follows as a hint" in text_of(tmp_path)


def test_every_candidate_is_a_point_and_every_score_a_dot(page: Page):
    assert page.points("against_truth") == 40
    assert page.points("ranks") == 40
    assert page.points("costs") == page.points("parameters") == 60
    assert page.points("baselines") == 3 * (2 + 3 + 1)
    assert max(page.data["widths"][0]["x"]) == LAYERS - 1  # not the sixth entry, which no layer reads
    assert len(page.data["training"]) == 1 + 4 + 1 + 1


def test_a_point_tells_name_architecture_score_truth_and_multiply_adds(page: Page, folder: Path):
    known = json.loads((folder / "ranking/known_accuracies.json").read_text())
    (text,) = [text for text in page.data["against_truth"][0]["texts"] if text.startswith("arch7\n")]
    assert known["arch7"]["arch"] in text
    assert f"known accuracy {100 * known['arch7']['acc']:.2f} %" in text
    row = next(line for line in (folder / "ranking/scores.csv").read_text().splitlines() if line.startswith("arch7,"))
    assert f"cross entropy {float(row.split(chr(44))[4]):.5g} nats" in text  # of the sign in scores.csv
    assert "M multiply-adds" in text


def test_the_ten_best_are_those_of_least_cross_entropy_in_order(folder: Path):
    lines = (folder / "ranking/scores.csv").read_text().splitlines()[1:]
    best = sorted((line.split(",") for line in lines), key=lambda row: float(row[4]))[:10]
    text = (folder / "report.md").read_text(encoding="utf-8")
    part = text.split("## The best by score")[1].split("\n## ")[0]
    found = [line.split(" | ")[1] for line in part.splitlines() if line.startswith("| ") and line[2].isdigit()]
    assert len(found) == 30
    assert found[:10] == [row[0] for row in best]


def test_the_curves_of_the_stages_follow_each_other_in_the_configs_order(folder: Path, page: Page):
    assert curves(folder)["training loss, single steps"].x == [*range(0, 100, 2), *range(100, 120, 2)]  # pretrain, then finetune
    assert "Stages in order: pretrain (100 steps), finetune (20 steps)" in page.text
    assert "Not trained yet, or without metrics: distill." in page.text


def test_long_curves_are_averaged_and_the_report_says_so(tmp_path: Path):
    write_metrics(write_example(tmp_path), "pretrain", 4000)
    assert "neighbouring rows are averaged" in text_of(tmp_path)
    values = curves(tmp_path)["training loss, single steps"].y
    assert len(values) == 500 + 10
    assert sum(values[:500]) / 500 == pytest.approx(3.5, abs=0.001)


def test_fitted_scores_and_the_ceiling_are_marked_as_what_they_are(page: Page, folder: Path):
    assert "fitted on that many known accuracies" in page.text
    assert "because the known accuracies are noisy" in page.text
    assert "| fitted on 20 known | fitted on known accuracies |" in (folder / "report.md").read_text(encoding="utf-8")


def test_the_time_is_that_of_all_sessions_or_at_least_that_of_the_last(tmp_path: Path):
    folder = write_example(tmp_path)
    write_json(folder / "finished.json", {"seconds": 150.0})
    environment = folder / "environment.json"
    for first, last, time in (
        (None, None, "0:02:30"),
        (100.0, [{"seconds": 50.0}], "0:02:30"),
        (None, [{"seconds": 50.0}], "at least 0:02:30"),
    ):
        change_json(environment, seconds=first, continued=last)
        assert read_run(folder).time == time


def test_the_command_is_the_last_that_ran_in_the_folder(tmp_path: Path):
    environment = write_example(tmp_path) / "environment.json"
    for continued, last in (
        ([], "first"),
        ([{"command": ["second"]}, {"command": ["third"]}], "third"),
        ([{"seconds": 5.0}, "odd"], "first"),
    ):
        change_json(environment, command=["first"], continued=continued)
        assert read_run(tmp_path).command == [last]


def test_protocol_environment_recipe_and_truth_are_told(page: Page):
    title = "experiment example · space example · stages pretrain, finetune, distill · seed 3 · commit 0123456 with changes"
    for said in ("c0ffee", "0123456789abcdef", title, "SGD (lr 0.1)", "numpy 2.0"):
        assert said in page.text
    assert "from seed to seed: 0.71 points" in " ".join(page.text.split())


@pytest.mark.slow
def test_images_are_named_as_their_key_and_the_noise_of_the_truth_is_told(tmp_path: Path):
    folder = write_example(tmp_path / "run")
    with (folder / "config.yaml").open("a", encoding="utf-8") as file:
        file.write("data: {_target_: nas_lightning.data.ImageFolder}\n")
    change_json(folder / "ranking/agreement.json", sampling_error={"images": 180, "standard_error": 0.035, "spread": 0.041})
    text = text_of(folder).replace("\\", "")
    assert "· data image_folder ·" in write_report(folder, points=3000).page.read_text(encoding="utf-8")
    said = "On 180 test images one accuracy has a standard error of 3.5 points (binomial); the candidates' accuracies spread by 4.1, so"
    assert said in text


@pytest.mark.slow
def test_many_candidates_are_sampled_evenly_and_the_report_says_so(tmp_path: Path):
    write_example(tmp_path, candidates=220, known=200)
    text = text_of(tmp_path, points=100)
    assert "Drawn are 100 of 200, evenly spaced by score." in text
    drawn = {name: len(hovers[0].x) for name, hovers in figures_of(tmp_path, points=100).items()}
    assert drawn["against_truth"] == drawn["ranks"] == 100
    ranking = read_run(tmp_path).ranking
    assert drawn["costs"] == 100 + len(pareto_front(ranking.table.multiply_adds, ranking.quality))


def test_the_page_counts_what_was_scored_and_what_is_only_predicted(tmp_path: Path):
    write_example(tmp_path, score="predicted")
    (tmp_path / "ranking/agreement.json").unlink()
    rows = [[f"a{one}", f"4-8-4-8-{4 * one}-4", *((0.5, 0.9, 2.0) if one < 3 else ("", "", "")), 10**6, 1000, 2.5] for one in range(1, 6)]
    write_scores(tmp_path, rows, ["predicted"])
    assert "5 candidates are ranked by predicted (2 were scored, 3 only predicted)." in text_of(tmp_path)
    assert "The first 5 of 5 candidates (2 were scored, 3 only predicted), ordered by predicted." in text_of(tmp_path)


@pytest.mark.parametrize("name", ["predicted", "smoothed"])  # as older runs call it
def test_a_predicted_score_is_shown_where_a_ranking_has_it(name: str, tmp_path: Path):
    write_example(tmp_path, score=name)
    rows = [[f"a{one}", f"4-8-4-8-{4 * one}-4", 0.5, 0.9, 2.0 + one / 10, 10**6, 1000, 2.5 - one / 10] for one in (1, 2, 3)]
    write_scores(tmp_path, rows, [name])
    change_json(tmp_path / "ranking/agreement.json", scores={name: agreement(40)["scores"]["top-1"]})
    text = text_of(tmp_path)
    assert "3 candidates are ranked by predicted" in text
    assert text.index("| a3 |") < text.index("| a2 |") < text.index("| a1 |")


@pytest.mark.slow
def test_the_same_files_give_the_same_bytes(folder: Path, tmp_path: Path):
    again = write_example(tmp_path / "example")
    write_report(again, points=3000)
    names = ["report.html", "report.md", *(f"report/{path.name}" for path in (folder / "report").iterdir())]
    assert len(names) == 2 + 7
    for name in names:
        assert (again / name).read_bytes() == (folder / name).read_bytes(), name


def test_a_column_without_text_in_any_row_is_not_shown():
    rows = [{"": "1", "a": "", "b": "x"}, {"": "2", "c": "y", "b": ""}]
    assert Table(rows).columns == ["", "b", "c"]


def test_every_picture_of_the_text_is_a_file(folder: Path):
    text = (folder / "report.md").read_text(encoding="utf-8")
    named = {line.rsplit("(", 1)[1].rstrip(")") for line in text.splitlines() if line.startswith("![")}
    assert named == {f"report/{path.name}" for path in (folder / "report").iterdir()}
    for name in named:
        assert (folder / name).read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_fifty_thousand_candidates_give_a_light_page(tmp_path: Path):
    write_example(tmp_path)
    codes = (
        f"{number % 16 * 4 + 4}-{number // 16 % 16 * 4 + 4}-{number // 256 % 16 * 4 + 4}-4-{number // 4096 * 4 + 4}"
        for number in range(50_000)
    )
    rows = [[f"arch{number}", code, 0.5, 0.9, 2 + number / 50_000, 10**7 + number, 10**5] for number, code in enumerate(codes)]
    write_scores(tmp_path, rows)
    write_json(tmp_path / "ranking/known_accuracies.json", {row[0]: {"acc": 0.5 + row[4] / 100, "arch": row[1]} for row in rows})
    write_report(tmp_path, points=3000)
    assert (tmp_path / "report.html").stat().st_size < 10 * 2**20
    assert "50,000 candidates are ranked" in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_an_epochs_loss_is_drawn_beside_single_steps_and_says_so(tmp_path: Path):
    folder = write_example(tmp_path)
    (folder / "stages/pretrain/metrics.csv").write_text("step,loss,epoch_loss,top1\n0,3.0,,\n1,1.0,2.0,0.5\n")
    assert curves(folder)["training loss, mean of an epoch"].y == [2.0]
    assert "Loss: light, single steps; dark, the mean of an epoch's steps." in text_of(folder)


def test_a_prediction_is_drawn_and_its_doubt_is_told(tmp_path: Path):
    write_example(tmp_path)
    assert "What is predicted" not in text_of(tmp_path)
    effects = [["stem", "8", -0.1, -0.1], ["blocks.0.conv1", "8", -0.1, 0.2], ["blocks.0.conv2", "4", -0.3, -0.3]]
    kept = Prediction("monotone", 200, 0.9, 0.05, 0.87, 0.95, True, tuple(LayerEffect(*effect) for effect in effects))
    (tmp_path / "ranking/predictor.json").write_text(json.dumps(kept.to_json()))
    text = text_of(tmp_path)
    assert "monotone was fitted on the scores of 200 candidates" in text
    assert "40% by the layers of 8x8 pixels, 60% by the layers of 4x4 pixels" in text
    assert "explains 95.0% of the variance of scores left out of it, with it only 90.0%: some layers score better when narrower" in text
    (tmp_path / "ranking/predictor.json").write_text(json.dumps(replace(kept, explained=-0.1).to_json()))
    worse = "with it none of it: some layers score better when narrower, or the supernet is hardly trained"
    assert worse in text_of(tmp_path)
    (hover,) = figures_of(tmp_path, points=100)["prediction"]
    assert hover.y == [0.1, 0.1, 0.3]
    assert hover.texts[1] == "blocks.0.conv1\npredicted 0.1000 nats\nwithout the assumption -0.2000 nats"


def test_without_a_truth_the_page_says_how_far_the_order_is_size_and_gives_the_command_that_makes_one(tmp_path: Path):
    folder = write_example(tmp_path / "a run")
    for path in ("ranking/agreement.json", "ranking/known_accuracies.json", "standalone/accuracies.csv"):
        (folder / path).unlink()
    words = ["/x/train.py", "experiment=example", "standalone.enabled=false", "run_dir=b", "hydra.mode=RUN"]
    change_json(folder / "environment.json", command=words)
    run, text = read_run(folder), text_of(folder).replace("\\", "")
    verdict = text.split("\n## ")[1]
    first = [line for line in verdict.splitlines() if line][:5]  # before tiles and figures, in plain words
    assert first[0] == "How far to trust this order is unknown."
    assert first[1].startswith("Known: the order in which a supernet, whose weights all candidates share, puts them. 60 candidates are")
    assert first[2].startswith("Not known: whether candidates that stand higher also classify better once they are trained alone. No ")
    why = "(24 tell Kendall to about 0.2 either way)"
    assert first[3:] == [f"To find out, train some candidates alone and compare the two orders. This does it {why}:", "```"]
    assert f"python train.py experiment=example standalone.enabled=true standalone.count=24 'run_dir={folder}'" in verdict
    assert run.ranking is not None
    size = kendalltau(run.ranking.quality, run.ranking.table.multiply_adds).statistic  # all have the same number of parameters
    assert f"| {size:.3f} 1 is the order by size |" in verdict
    assert set(figures_of(folder)) == {"parameters", "costs", "widths", "training"}
    assert "would give the same order is not known: the ranking kept only means over all images" in verdict
    change_json(folder / "ranking/protocol.json", cheap_first={"keep": 0.1})
    assert "is not known: with ranking.cheap_first most candidates are scored on few images." in text_of(folder).replace("\\", "")
    write_json(folder / "ranking/halves.json", {"kendall": 0.91, "candidates": 60})
    assert "Kendall tau-b of two halves of the images" in text_of(folder)
    assert "| 0.910 60 scored candidates |" in text_of(folder)
    change_json(folder / "environment.json", command=["/bin/nas-tune", "run_dir=b"])  # whose words are not the run's
    verdict = text_of(folder).replace("\\", "").split("\n## ")[1]
    assert "run_dir=" not in verdict
    assert "compare the two orders. nas-standalone trains them; ranking.known_accuracies=FILE compares." in verdict


def test_bars_are_the_seeds_of_a_truth_that_the_run_trained(tmp_path: Path):
    folder = write_example(tmp_path)
    known = json.loads((folder / "ranking/known_accuracies.json").read_text())
    (name, first), (_, other) = list(known.items())[:2]
    rows = [f"{name},{first['arch']},{seed},{first['acc'] + change}" for seed, change in enumerate((-0.02, 0.02))]
    rows += [f"b,{other['arch']},{seed},{accuracy}" for seed, accuracy in enumerate((0.1, 0.3))]
    (folder / "standalone/accuracies.csv").write_text("\n".join(["name,architecture,seed,accuracy", *rows]))
    run = read_run(folder)
    assert run.ranking is not None
    assert {run.ranking.table.population[row].name for row in run.ranking.seeds} == {name}  # the other mean is not the known accuracy
    assert len(run.ranking.alone) == 2
    assert "Lines: from the lowest to the highest of its training seeds." in text_of(folder)


def test_the_winners_that_were_trained_alone_stand_with_their_accuracy_next_to_random_ones(tmp_path: Path):
    folder = write_example(tmp_path)
    ranking = read_run(folder).ranking
    assert ranking is not None
    best = ranking.table.population[int(ranking.order[0])]
    place = folder / "winners/standalone"
    write_text(
        place / "accuracies.csv", f"name,architecture,seed,accuracy\n{best.name},{best.text},0,0.91\n{best.name},{best.text},1,0.92\n"
    )
    write_text(place / "known_accuracies.json", "{}")
    sources = {"scores.csv": folder / "ranking/scores.csv", "known_accuracies.json": place / "known_accuracies.json"}
    content = {
        "budget": 2_000_000,
        "best": {"n": 10, "mean": 0.9},
        "random": {"n": 9, "mean": 0.8},
        "difference": {"value": 0.1, "low": 0.05, "high": 0.15},
        "made_from": hashes(sources),
    }
    write_json(place / "winners.json", content)
    says = "Trained alone, the best reach 90.00 % (n = 10), random ones of the same list, of at most 2 M multiply-adds, 80.00 % (n = 9): "
    part = text_of(folder).replace("\\", "").split("## The best by score")[1].split("\n## ")[0]
    assert f"{says}a difference of +10.00 points (95 % interval +5.00 to +15.00, Welch's, over the candidates)." in part
    assert "| 91.50 |" in next(line for line in part.splitlines() if line.startswith("| 1 |"))
    content |= {"random": {"n": 2, "mean": 0.8}}
    write_json(place / "winners.json", content)
    assert "a difference of +10.00 points (no interval: that takes 5 of each)." in text_of(folder)
    write_text(place / "known_accuracies.json", "{ }")
    assert says not in text_of(folder)
    write_json(place / "winners.json", {})
    with pytest.raises(InputError, match=r"winners\.json: does not hold"):
        text_of(folder)


def test_a_truth_in_which_all_are_equal_is_not_drawn(tmp_path: Path):
    folder = write_example(tmp_path)
    content = agreement(40)
    for one in (*content["scores"].values(), *content["baselines"].values()):
        one["kendall"] = {"value": None, "low": None, "high": None}
    write_json(folder / "ranking/agreement.json", content)
    assert "The known accuracies are all equal" in text_of(folder)
    assert "against_truth" not in figures_of(folder)


@pytest.mark.parametrize("has_truth", [True, False])
def test_the_page_says_that_every_candidate_is_worse_than_guessing(has_truth: bool, tmp_path: Path):
    folder = write_example(tmp_path / "run")
    if not has_truth:
        for path in ("ranking/agreement.json", "ranking/known_accuracies.json", "standalone/accuracies.csv"):
            (folder / path).unlink()
    said = "Every candidate scores worse than guessing"
    best = min(score.cross_entropy for score in read_run(folder).ranking.table.scores)
    for classes, is_said in ((math.floor(math.exp(best)), True), (math.ceil(math.exp(best)) + 1, False)):
        change_json(folder / "environment.json", classes=classes)
        assert (said in text_of(folder)) == is_said
    change_json(folder / "environment.json", classes=None)  # of an older version
    assert said not in text_of(folder)
