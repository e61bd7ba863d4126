"""What the report of a sweep says and shows of its jobs."""

import json
from pathlib import Path

import pytest
from example_run import change_json, write_text
from example_sweep import STEPS, write_job, write_losses, write_sweep
from page_reader import Page

from nas_lightning.report import write_sweep_report
from nas_lightning.report.markdown import as_markdown
from nas_lightning.report.page import as_page
from nas_lightning.report.parts.sweep_curves import epoch_lengths
from nas_lightning.report.parts.sweep_jobs import duration
from nas_lightning.report.parts.sweep_settings import Shown, lead, pooled
from nas_lightning.report.sweep import Sweep, read_sweep
from nas_lightning.report.write import make_sweep_parts

RATE, PATHS, EPOCHS = "stages.pretrain.optimizer.lr", "stages.pretrain.sampler.paths", "stages.pretrain.epochs"


def write_settings(folder: Path, *settings: tuple[float, ...]) -> Path:
    """A job for each Kendall's tau, of rate 0.1 for the first setting, 0.2 for the second, and so on; seeds count from 0."""
    for number, values in enumerate(settings, start=1):
        for seed, kendall in enumerate(values):
            write_job(folder / f"{number}_{seed}", seed, {RATE: number / 10}, kendall)
    return folder


def text_of(folder: Path) -> str:
    """A report's text, without its pictures."""
    return as_markdown("sweep", make_sweep_parts(read_sweep(folder)), "sweep").replace("\\", "")


def page_of(folder: Path) -> Page:
    return Page.parse(as_page("sweep", "", make_sweep_parts(read_sweep(folder)), "sweep.md"))


def rows_of(text: str, part: str) -> dict[str, list[str]]:
    """The cells of a part's first table by the second one."""
    blocks = text.split(f"## {part}\n")[1].split("\n## ")[0].split("\n\n")
    lines = next(block for block in blocks if block.startswith("| ")).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    return {row[1]: row for row in cells}


def first_two(sweep: Sweep) -> Shown:
    return lead(sweep, *sweep.ranked[:2]).shown


def test_a_lead_beyond_the_noise_of_the_seeds_is_shown(tmp_path: Path):
    sweep = read_sweep(write_settings(tmp_path, (0.60, 0.62, 0.64), (0.70, 0.72, 0.74)))
    assert [(one.label, one.mean, one.std) for one in sweep.settings] == [
        ("optimizer.lr 0.2", pytest.approx(0.72), pytest.approx(0.02)),
        ("optimizer.lr 0.1", pytest.approx(0.62), pytest.approx(0.02)),
    ]
    found = lead(sweep, *sweep.ranked)
    assert found.difference == pytest.approx(0.10)
    assert found.error == pytest.approx(0.02 * (2 / 3) ** 0.5)
    assert found.needed == pytest.approx(0.02 * (2 / 3) ** 0.5 * 2.776, rel=1e-3)  # Student's t of 4 degrees of freedom, from a table
    assert found.shown is Shown.YES
    text = text_of(tmp_path)
    assert "## optimizer.lr 0.2 is best, and its lead exceeds the noise of the seeds." in text
    assert "The lead of 0.1000 exceeds 0.0453, its noise" in text


@pytest.mark.parametrize(
    ("kendalls", "says"),
    [
        ([0.7, 0.6, 0.5], "optimizer.lr 0.1 is the lowest value tried: a better one may lie beyond."),
        ([0.5, 0.6, 0.7], "optimizer.lr 0.3 is the highest value tried: a better one may lie beyond."),
        ([0.5, 0.7, 0.6], None),
        ([0.5, 0.7], None),  # of two values each is an end
    ],
)
def test_a_best_value_at_the_end_of_those_tried_is_said_to_be_there(kendalls: list[float], says: str | None, tmp_path: Path):
    text = text_of(write_settings(tmp_path, *((one,) for one in kendalls)))
    assert "may lie beyond" not in text if says is None else f"**Mind.** {says}" in text


def test_a_value_that_was_tried_without_a_result_or_below_which_there_is_none_is_no_end(tmp_path: Path):
    write_settings(tmp_path / "rates", (0.5,), (0.6,), (0.7,))
    write_job(tmp_path / "rates/4_0", 0, {RATE: 0.4})
    assert "may lie beyond" not in text_of(tmp_path / "rates")
    for paths in (1, 2, 3):
        write_job(tmp_path / f"paths/{paths}", 0, {PATHS: paths}, 0.7 - paths / 10)
    assert "may lie beyond" not in text_of(tmp_path / "paths")


def test_a_lead_within_the_noise_of_the_seeds_is_not_called_better(tmp_path: Path):
    write_settings(tmp_path, (0.60, 0.62, 0.64), (0.62, 0.64, 0.66))
    assert "## optimizer.lr 0.2 comes first, but its lead does not exceed the noise of the seeds." in text_of(tmp_path)
    assert "| 2 | optimizer.lr 0.1 | 3 | 0.6200 | 0.0200 | 0.0200 | 0.0453 | no | 0.6000 to 0.6400 |" in text_of(tmp_path)


def test_the_noise_is_pooled_over_all_settings_with_two_seeds(tmp_path: Path):
    sweep = read_sweep(write_settings(tmp_path, (0.60, 0.64), (0.70, 0.72, 0.74), (0.3,)))
    found = pooled(sweep.ranked)
    assert found is not None
    variances = [2 * 0.02**2, 0.02**2]  # of two values 0.04 apart, of three 0.02 apart
    assert found.std == pytest.approx(((1 * variances[0] + 2 * variances[1]) / 3) ** 0.5)
    assert (found.freedom, found.settings) == (3, 2)


@pytest.mark.parametrize(
    ("values", "shown", "said"),
    [
        (((0.70,), (0.65,)), Shown.UNKNOWN, "are not known to lie apart"),  # intervals reach 0.05 to both sides
        (((0.75,), (0.60,)), Shown.CANDIDATES, "they lie apart"),
        (((0.75,), (0.60, 0.61)), Shown.UNKNOWN, "optimizer.lr 0.1 has a single seed"),
        (((0.7, 0.7), (0.6, 0.6)), Shown.UNKNOWN, "they measure no noise"),
    ],
    ids=["overlapping", "apart", "one_of_two", "no_noise"],
)
def test_without_the_noise_of_the_seeds_no_setting_is_called_better(
    values: tuple[tuple[float, ...], ...], shown: Shown, said: str, tmp_path: Path
):
    assert first_two(read_sweep(write_settings(tmp_path, *values))) is shown
    text = text_of(tmp_path)
    assert "is best" not in text
    assert said in text
    if shown is Shown.CANDIDATES:
        assert "that of the seeds is unknown" in text.split("\n\n|")[0]


def test_intervals_that_no_file_has_show_nothing(tmp_path: Path):
    write_settings(tmp_path, (0.9,), (0.1,))
    for path in tmp_path.glob("*/ranking/agreement.json"):
        scores = json.loads(path.read_text())["scores"]
        scores["negative cross entropy"]["kendall"] = scores["negative cross entropy"]["kendall"]["value"]
        change_json(path, scores=scores)
    assert first_two(read_sweep(tmp_path)) is Shown.UNKNOWN


def test_jobs_of_one_seed_are_no_repetitions(tmp_path: Path):
    for name, kendall in (("a", 0.5), ("b", 0.7)):
        write_job(tmp_path / name, 3, kendall=kendall)
    (setting,) = read_sweep(tmp_path).settings
    assert (setting.mean, setting.std, len(setting.by_seed)) == (pytest.approx(0.6), None, 1)


def test_equal_settings_are_called_equal(tmp_path: Path):
    assert "## The first two settings are equal." in text_of(write_settings(tmp_path, (0.5, 0.6), (0.6, 0.5)))


def test_seeds_alone_have_a_spread_and_no_effect(tmp_path: Path):
    text = text_of(write_settings(tmp_path, (0.5, 0.6)))
    assert "## There is one setting: nothing to compare it with." in text
    assert "0.5500 (standard deviation 0.0707) with 2 seeds" in text
    assert "Only the seed differs from job to job" in text


def test_a_row_tells_settings_agreement_losses_time_commit_and_overrides(tmp_path: Path):
    row = rows_of(text_of(write_sweep(tmp_path)), "Jobs")["3"]
    interval = "0.680 [0.630, 0.730]"
    loss = f"{2.1 + 0.02:.4f}"  # the last five lie 0.00 to 0.04 above the last
    overrides = f"seed=0 {RATE}=0.1 {PATHS}=4 {EPOCHS}=1"
    assert row == ["★", "3", "1", "4", "0.1", "0", interval, interval, loss, loss, "1.6 min", "0123456", overrides]


def test_an_unfinished_job_says_where_it_stands_and_is_not_compared(tmp_path: Path):
    text = text_of(write_sweep(tmp_path))
    row = rows_of(text, "Jobs")["11"]
    assert row[6:] == ["", "", "2.0400 so far", "", f"unfinished: pretrain, step {STEPS - 1}", "0123456", row[-1]]
    assert "Not finished: 1 of 12 (11). What is said here may change." in text
    assert rows_of(text, "Settings")["pretrain.epochs 1, sampler.paths 4, optimizer.lr 0.02"][2] == "2"


def test_a_sweep_without_any_result_gets_its_page(tmp_path: Path):
    write_job(tmp_path / "0", seconds=None, stages=1)
    write_job(tmp_path / "1", changes={RATE: 0.2}, seconds=None, stages=0)
    text = text_of(tmp_path)
    assert "## No job has a result to compare yet." in text
    assert "1 of 2 jobs have left no metrics." in text
    assert rows_of(text, "Jobs")["1"][-3] == "unfinished"
    write_sweep_report(tmp_path)


def test_without_agreement_the_lowest_final_loss_of_the_last_stage_is_best_and_a_running_one_does_not_count(tmp_path: Path):
    write_job(tmp_path / "0", 0, {RATE: 0.1}, loss=2.0)
    write_job(tmp_path / "1", 0, {RATE: 0.2}, loss=1.5)
    write_job(tmp_path / "2", 0, {RATE: 0.3}, loss=0.1, seconds=None)
    sweep = read_sweep(tmp_path)
    assert [(one.label, one.mean) for one in sweep.ranked] == [
        ("optimizer.lr 0.2", pytest.approx(1.52)),
        ("optimizer.lr 0.1", pytest.approx(2.02)),
    ]
    text = text_of(tmp_path)
    assert "comes first; that it is better than the next is not shown." in text
    assert "The first is lower by 0.5000." in text
    assert "final loss of finetune, less is better" in text


def test_losses_of_different_last_stages_are_not_compared(tmp_path: Path):
    write_job(tmp_path / "0")
    write_job(tmp_path / "1", changes={"stages.more.epochs": 1})
    assert read_sweep(tmp_path).statistic is None
    assert "nor a final loss of the same last stage" in text_of(tmp_path)


def test_different_code_and_different_truths_are_told(tmp_path: Path):
    write_settings(tmp_path, (0.5,), (0.6,))
    assert "Mind" not in text_of(tmp_path)
    change_json(tmp_path / "1_0/environment.json", commit="fedcba9876543210")
    change_json(tmp_path / "1_0/ranking/agreement.json", n=30)
    text = text_of(tmp_path)
    assert "different code" in text
    assert "not all compared with the same known accuracies" in text


def test_an_effect_is_the_mean_over_the_settings_of_a_value_with_the_spread_of_the_seeds(tmp_path: Path):
    page = page_of(write_sweep(tmp_path))
    *pale, means, jobs = page.data["effect_2"]["traces"]  # the rate
    assert page.data["effect_2"]["layout"]["xaxis"]["ticktext"] == ["0.02", "0.1"]
    assert len(jobs["x"]) == 11
    assert sorted(jobs["y"][-6:]) == pytest.approx([0.61, 0.62, 0.64, 0.66, 0.68, 0.69])
    slow = ((0.54 + 0.53 + 0.56) / 3 + (0.60 + 0.61) / 2) / 2
    assert means["y"] == pytest.approx([slow, (0.62 + 0.61 + 0.64 + 0.68 + 0.69 + 0.66) / 6], rel=1e-5)
    three, two = 0.02**2 * 7 / 12, 0.01**2 / 2  # variances of values like 0, 0.02 and -0.01, and of two 0.01 apart
    assert means["error_y"]["array"] == pytest.approx([((2 * three + two) / 3) ** 0.5, three**0.5], rel=1e-4)
    assert [line["y"] for line in pale] == [pytest.approx([0.605, 0.67667], rel=1e-4), pytest.approx([0.54333, 0.62333], rel=1e-4)]


def test_an_effect_says_what_else_varies(tmp_path: Path):
    write_sweep(tmp_path / "grid")
    text = text_of(tmp_path / "grid")
    assert "pretrain.epochs and sampler.paths always change together: their effects cannot be told apart. Within each value" in text
    assert "in the same way for all: the means compare like with like." in text
    write_job(tmp_path / "grid/12", 0, {RATE: 0.5, PATHS: 4, EPOCHS: 1}, 0.6)
    assert "not in the same way for all values: a difference of means may come from there." in text_of(tmp_path / "grid")
    assert "The seed aside, nothing else was swept." in text_of(write_settings(tmp_path / "alone", (0.5, 0.6), (0.6,)))


def test_many_values_and_many_keys_are_cut_and_the_report_says_so(tmp_path: Path):
    for number in range(70):
        changes = {RATE: number / 100, **{f"extra.k{key}": number % (key + 2) for key in range(10)}}
        write_job(tmp_path / f"{number}", 0, changes, 0.5 + number / 1000)
    text = text_of(tmp_path)
    assert "3 more are not shown one by one" in text
    assert "the first 60 of 70 values" in text
    assert "The first 60 of 70 are listed." in text
    assert "Drawn are 20 of 70 jobs, evenly spaced from the best setting to the last." in text
    assert "Grey: the others" in text
    assert len(page_of(tmp_path).data["curves"]["traces"]) == 20 * 3


def test_curves_run_over_epochs_stage_after_stage(tmp_path: Path):
    write_job(tmp_path / "0", changes={RATE: 0.1}, kendall=0.6)
    write_job(tmp_path / "1", changes={RATE: 0.2}, seconds=None, stages=1, kendall=0.5)
    page = page_of(tmp_path)
    losses = [trace for trace in page.data["curves"]["traces"] if trace["yaxis"] == "y"]
    other, best = ([x for x in trace["x"] if x is not None] for trace in losses)
    assert best == pytest.approx([*((step + 1) / STEPS for step in range(3 * STEPS))])
    assert other == pytest.approx([*((step + 1) / STEPS for step in range(2 * STEPS))])
    assert page.data["curves"]["layout"]["xaxis"]["title"]["text"] == "epoch, over all stages"
    assert [trace["name"] for trace in page.data["curves"]["traces"] if trace["showlegend"]] == ["optimizer.lr 0.2", "optimizer.lr 0.1"]


def test_an_epoch_has_the_steps_to_its_first_end_or_those_of_a_stage_that_is_over_by_its_epochs(tmp_path: Path):
    write_job(tmp_path / "0")
    (job,) = read_sweep(tmp_path).jobs
    assert epoch_lengths(job) == {"pretrain": STEPS, "finetune": STEPS}
    for name in ("pretrain", "finetune"):
        write_text(tmp_path / f"0/stages/{name}/metrics.csv", "step,loss\n0,2\n59,1\n")
    (job,) = read_sweep(tmp_path).jobs
    assert epoch_lengths(job) == {"pretrain": 30, "finetune": 60}
    (tmp_path / "0/finished.json").unlink()
    (job,) = read_sweep(tmp_path).jobs
    assert epoch_lengths(job) == {"pretrain": 30, "finetune": None}
    assert "so the axis counts steps" in text_of(tmp_path)


def test_long_curves_are_averaged_and_the_report_says_so(tmp_path: Path):
    write_losses(write_job(tmp_path / "0", stages=1), "pretrain", 1000, 2.0)
    assert "Of stages with more than 200 rows neighbouring rows are averaged." in text_of(tmp_path)
    trace = page_of(tmp_path).data["curves"]["traces"][0]
    values = [value for value in trace["y"] if value is not None]
    assert len(values) == 200
    assert sum(values) / 200 == pytest.approx(2 + 0.01 * 999 / 2, rel=1e-5)


@pytest.mark.parametrize(("seconds", "text"), [(9.96, "10.0 s"), (90.0, "1.5 min"), (5400.0, "1.5 h")])
def test_a_time_is_told_in_the_unit_that_reads_best(seconds: float, text: str):
    assert duration(seconds) == text
