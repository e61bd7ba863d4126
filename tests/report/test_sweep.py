"""What the report of a sweep says and shows of its jobs."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest
from example_run import change_json, write_text
from example_sweep import STEPS, write_job, write_sweep
from page_reader import Page, points_of

from nas_lightning.report import write_sweep_report
from nas_lightning.report.drawing import Hover
from nas_lightning.report.markdown import as_markdown
from nas_lightning.report.parts.sweep_verdict import lead, pooled
from nas_lightning.report.sweep import read_sweep
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


def figures_of(folder: Path) -> dict[str, Sequence[Hover]]:
    return points_of(make_sweep_parts(read_sweep(folder)))


def rows_of(text: str, part: str) -> dict[str, list[str]]:
    """The cells of a part's first table by the second one."""
    blocks = text.split(f"## {part}\n")[1].split("\n## ")[0].split("\n\n")
    lines = next(block for block in blocks if block.startswith("| ")).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    return {row[1]: row for row in cells}


def test_a_lead_beyond_the_noise_of_the_seeds_is_shown(tmp_path: Path):
    sweep = read_sweep(write_settings(tmp_path, (0.60, 0.62, 0.64), (0.70, 0.72, 0.74)))
    assert [(one.label, one.mean, one.std) for one in sweep.settings] == [
        ("optimizer.lr 0.2", pytest.approx(0.72), pytest.approx(0.02)),
        ("optimizer.lr 0.1", pytest.approx(0.62), pytest.approx(0.02)),
    ]
    found = lead(sweep, *sweep.ranked)
    assert found.difference == pytest.approx(0.10)
    assert found.needed == pytest.approx(0.02 * (2 / 3) ** 0.5 * 2.776, rel=1e-3)  # Student's t of 4 degrees of freedom, from a table
    assert found.shown == "yes"
    text = text_of(tmp_path)
    assert "## optimizer.lr 0.2 is best, and its lead exceeds the noise of the seeds." in text
    assert "| 0.100 noise 0.045 |" in text


@pytest.mark.parametrize(
    ("kendalls", "says"),
    [
        ([0.7, 0.6, 0.5], "optimizer.lr 0.1 is at the end of the values tried: a better one may lie beyond."),
        ([0.5, 0.6, 0.7], "optimizer.lr 0.3 is at the end of the values tried: a better one may lie beyond."),
        ([0.5, 0.7, 0.6], None),
        ([0.5, 0.7], None),  # of two values each is an end
    ],
)
def test_a_best_value_at_the_end_of_those_tried_is_said_to_be_there(kendalls: list[float], says: str | None, tmp_path: Path):
    text = text_of(write_settings(tmp_path, *((one,) for one in kendalls)))
    assert "may lie beyond" not in text if says is None else f"**Mind.** {says}" in text


def test_a_value_without_a_result_beyond_it_or_none_below_it_is_no_end(tmp_path: Path):
    write_settings(tmp_path / "rates", (0.5,), (0.6,), (0.7,))
    write_job(tmp_path / "rates/4_0", 0, {RATE: 0.4})
    assert "may lie beyond" not in text_of(tmp_path / "rates")
    for paths in (1, 2, 3):
        write_job(tmp_path / f"paths/{paths}", 0, {PATHS: paths}, 0.7 - paths / 10)
    assert "may lie beyond" not in text_of(tmp_path / "paths")


def test_a_lead_within_the_noise_of_the_seeds_is_not_called_better(tmp_path: Path):
    write_settings(tmp_path, (0.60, 0.62, 0.64), (0.62, 0.64, 0.66))
    assert "## No winner yet: 2 settings within noise." in text_of(tmp_path)
    assert text_of(tmp_path).count("| 0.620 | 0.020 | 0.020 (noise 0.045) | no |") == 3  # a row a job of the second setting


def test_the_noise_is_pooled_over_all_settings_with_two_seeds(tmp_path: Path):
    sweep = read_sweep(write_settings(tmp_path, (0.60, 0.64), (0.70, 0.72, 0.74), (0.3,)))
    std, freedom = pooled(sweep.ranked)
    variances = [2 * 0.02**2, 0.02**2]  # of two values 0.04 apart, of three 0.02 apart
    assert std == pytest.approx(((1 * variances[0] + 2 * variances[1]) / 3) ** 0.5)
    assert freedom == 3


@pytest.mark.parametrize(
    "values",
    [((0.75,), (0.60,)), ((0.75,), (0.60, 0.61)), ((0.7, 0.7), (0.6, 0.6))],
    ids=["one_each", "one_of_two", "no_noise"],
)
def test_without_the_noise_of_the_seeds_no_setting_is_called_better(values: tuple[tuple[float, ...], ...], tmp_path: Path):
    sweep = read_sweep(write_settings(tmp_path, *values))
    assert lead(sweep, *sweep.ranked[:2]).shown == "not shown"
    text = text_of(tmp_path)
    assert "## No winner yet: " in text
    assert ("2 settings within noise" in text) == (values[0] == (0.7, 0.7))  # whose intervals over candidates overlap
    assert ("comes first, but the noise of the seeds is unknown" in text) == (values[0] != (0.7, 0.7))
    assert "noise unknown" in text


def test_jobs_of_one_seed_are_no_repetitions(tmp_path: Path):
    for name, kendall in (("a", 0.5), ("b", 0.7)):
        write_job(tmp_path / name, 3, kendall=kendall)
    (setting,) = read_sweep(tmp_path).settings
    assert (setting.mean, setting.std, len(setting.by_seed)) == (pytest.approx(0.6), None, 1)


def test_settings_within_noise_are_counted(tmp_path: Path):
    kendalls = ((0.60, 0.62, 0.64), (0.70, 0.72, 0.74), (0.71, 0.73, 0.75), (0.72, 0.70, 0.71))
    assert "## No winner yet: 3 settings within noise." in text_of(write_settings(tmp_path, *kendalls))


def test_the_noise_of_one_seed_each_is_that_of_the_candidates(tmp_path: Path):
    """Intervals are 0.05 to both sides."""
    assert "## No winner yet: 3 settings within noise." in text_of(write_settings(tmp_path / "a", (0.60,), (0.65,), (0.69,), (0.5,)))


def test_equal_settings_are_no_winner(tmp_path: Path):
    assert "## No winner yet: 2 settings within noise." in text_of(write_settings(tmp_path, (0.5, 0.6), (0.6, 0.5)))


def test_seeds_alone_have_a_spread_and_no_effect(tmp_path: Path):
    text = text_of(write_settings(tmp_path, (0.5, 0.6)))
    assert "## The jobs differ in their seeds alone." in text
    assert text.count("| 0.550 | 0.071 | the best |") == 2
    assert "Nothing but the seed differs" in text


def test_a_row_tells_settings_agreement_losses_time_commit_and_overrides(tmp_path: Path):
    row = rows_of(text_of(write_sweep(tmp_path)), "Jobs")["3"]
    interval = "0.680 [0.630, 0.730]"
    loss = f"{2.1 + 0.02:.3f}"  # the last five lie 0.00 to 0.04 above the last
    overrides = f"seed=0 {RATE}=0.1 {PATHS}=4 {EPOCHS}=1"
    standing = ["0.677", "0.015", "the best", ""]
    assert row == ["★", "3", "1", "4", "0.1", "0", interval, interval, *standing, loss, loss, "0:01:33", "0123456", overrides]


def test_an_unfinished_job_says_where_it_stands_and_is_not_compared(tmp_path: Path):
    text = text_of(write_sweep(tmp_path))
    row = rows_of(text, "Jobs")["11"]
    assert row[6:8] == ["", ""]
    assert row[12:] == ["2.040", "", f"unfinished, pretrain step {STEPS}", "0123456", row[-1]]
    assert "| 12 1 unfinished, 0 unreadable |" in text
    assert sorted(len(setting.by_seed) for setting in read_sweep(tmp_path).settings) == [2, 3, 3, 3]


def test_a_sweep_without_any_result_gets_its_page(tmp_path: Path):
    write_job(tmp_path / "0", seconds=None, stages=1)
    write_job(tmp_path / "1", changes={RATE: 0.2}, seconds=None, stages=0)
    text = text_of(tmp_path)
    assert "## No job has a result to compare yet." in text
    assert "| unfinished | 0123456 |" in text
    write_sweep_report(tmp_path)


def test_without_agreement_the_lowest_loss_of_a_finished_job_is_best(tmp_path: Path):
    write_job(tmp_path / "0", 0, {RATE: 0.1}, loss=2.0)
    write_job(tmp_path / "1", 0, {RATE: 0.2}, loss=1.5)
    write_job(tmp_path / "2", 0, {RATE: 0.3}, loss=0.1, seconds=None)
    sweep = read_sweep(tmp_path)
    assert [(one.label, one.mean) for one in sweep.ranked] == [
        ("optimizer.lr 0.2", pytest.approx(1.52)),
        ("optimizer.lr 0.1", pytest.approx(2.02)),
    ]
    text = text_of(tmp_path)
    assert "optimizer.lr 0.2 comes first, but the noise of the seeds is unknown." in text
    assert "| 0.500 noise unknown |" in text
    assert "The mean final loss of finetune over seeds, less is better." in text


def test_losses_of_different_last_stages_are_not_compared(tmp_path: Path):
    write_job(tmp_path / "0")
    write_job(tmp_path / "1", changes={"stages.more.epochs": 1})
    assert read_sweep(tmp_path).ranked == ()
    assert "nor a final loss of the same last stage" in text_of(tmp_path)


def test_different_code_and_different_truths_are_told(tmp_path: Path):
    write_settings(tmp_path, (0.5,), (0.6,))
    assert "Mind" not in text_of(tmp_path)
    change_json(tmp_path / "1_0/environment.json", commit="fedcba9876543210")
    change_json(tmp_path / "1_0/ranking/agreement.json", n=30)
    text = text_of(tmp_path)
    assert "different code" in text
    assert "not all compared with the same known accuracies" in text


def test_an_effect_is_the_mean_over_settings_with_the_spread_of_seeds(tmp_path: Path):
    jobs, means = figures_of(write_sweep(tmp_path))["effect_2"]  # the rate
    assert len(jobs.x) == 11
    assert sorted(jobs.y[-6:]) == pytest.approx([0.61, 0.62, 0.64, 0.66, 0.68, 0.69])
    slow = ((0.54 + 0.53 + 0.56) / 3 + (0.60 + 0.61) / 2) / 2
    assert means.y == pytest.approx([slow, (0.62 + 0.61 + 0.64 + 0.68 + 0.69 + 0.66) / 6], rel=1e-5)
    three, two = 0.02**2 * 7 / 12, 0.01**2 / 2  # variances of values like 0, 0.02 and -0.01, and of two 0.01 apart
    stds = [((2 * three + two) / 3) ** 0.5, three**0.5]
    assert means.texts == [
        f"{rate}\nmean {mean:.3f}, standard deviation over seeds {std:.3f}\nsettings: 2"
        for rate, mean, std in zip(("0.02", "0.1"), means.y, stds, strict=True)
    ]


def test_two_numeric_keys_have_a_map_of_the_means_of_their_settings(tmp_path: Path):
    for number, (rate, paths, seed) in enumerate(itertools.product((0.1, 0.2), (1, 6), (0, 1))):
        if (rate, paths) != (0.2, 6):
            write_job(tmp_path / f"{number}", seed, {RATE: rate, PATHS: paths}, rate + paths / 10 + seed / 100)
    (cells,) = figures_of(tmp_path)["map"]
    found = {(x, y): text for x, y, text in zip(cells.x, cells.y, cells.texts, strict=True)}
    means = {(0, 0): ("1", "0.1", "0.205"), (1, 0): ("1", "0.2", "0.305"), (0, 1): ("6", "0.1", "0.705")}
    assert found == {
        place: f"sampler.paths {paths}, optimizer.lr {rate}\nmean {mean}\njobs: 2" for place, (paths, rate, mean) in means.items()
    }
    assert "map" not in figures_of(write_settings(tmp_path / "one key", (0.5,), (0.6,)))


def test_a_job_leads_to_its_own_report_where_it_has_one(tmp_path: Path):
    write_sweep(tmp_path)
    (tmp_path / "3").rename(tmp_path / "a b:<")
    write_text(tmp_path / "a b:</report.html", "")
    page = Page.parse(write_sweep_report(tmp_path)[0].read_text(encoding="utf-8"))
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a" and "#" not in str(attributes["href"])]
    assert links == ["./a%20b%3A%3C/report.html"]
    assert "[a b:&lt;](./a%20b%3A%3C/report.html)" in text_of(tmp_path)


def test_an_effect_says_what_else_varies(tmp_path: Path):
    write_sweep(tmp_path / "grid")
    text = text_of(tmp_path / "grid")
    assert text.count("These keys always change together: their effects cannot be told apart.") == 1
    assert text.count("Other swept keys were tried for all values alike, so that the means compare like with like.") == 2
    write_job(tmp_path / "grid/12", 0, {RATE: 0.5, PATHS: 4, EPOCHS: 1}, 0.6)
    assert "not tried for all values alike, so that a difference of means may come from them" in text_of(tmp_path / "grid")
