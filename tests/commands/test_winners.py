"""The natural end of a run: the best of its ranking trained stand-alone next to as many random ones, on its images by its recipe."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from omegaconf import OmegaConf
from scipy import stats

from nas_lightning.commands.from_run import take_from_run
from nas_lightning.commands.winners import choose_winners, compare_winners, describe_winners
from nas_lightning.errors import InputError
from nas_lightning.report.recipe import recipe_of
from nas_lightning.report.winners import gain_in_words, read_winners
from nas_lightning.runs.reading import read_yaml
from nas_lightning.scoring.table import read_table
from nas_lightning.space import Architecture, Population, SearchSpace
from nas_lightning.standalone.truth import GroundTruth

TINY = SearchSpace("resnet_tiny", (1, 1, 1), (8, 12, 16), 2, 8)


@pytest.fixture(autouse=True)
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Architecture, Any, Any, int]]:
    """What was trained: an architecture's accuracy is its share of the largest widths."""
    calls: list[tuple[Architecture, Any, Any, int]] = []

    def instead(architecture: Architecture, dataset: Any, recipe: Any, seed: int, *_: Any) -> float:
        calls.append((architecture, dataset, recipe, seed))
        return sum(architecture.widths) / sum(TINY.largest.widths)

    monkeypatch.setattr("nas_lightning.standalone.truth.train_alone", instead)
    return calls


@pytest.fixture
def run(micro: Path, tmp_path: Path) -> Path:
    """A copy of a whole run, to be added to."""
    shutil.copytree(micro, tmp_path / "run")
    return tmp_path / "run"


def ordered(run: Path, budget: int | None = None) -> list[str]:
    """The codes of a ranking, best first, written out."""
    with (run / "ranking/scores.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if budget is None or int(row["macs"]) <= budget]
    return [row["architecture"] for row in sorted(rows, key=lambda row: float(row["predicted"]))]


@pytest.mark.slow
def test_the_command_trains_the_best_and_as_many_random_ones_of_the_budget(run: Path, command: Callable, trained: list[Any]):
    budget = int(np.median(read_table(run / "ranking/scores.csv", TINY).multiply_adds))
    done = command("standalone", "choose=best", f"scores={run}/ranking/scores.csv", "count=3", f"budget={budget}", pages=True)
    assert done.code == 0, done.err
    content = json.loads((run / "winners/standalone/winners.json").read_text())
    assert content["best"]["architectures"] == ordered(run, budget)[:3]
    assert content["random"]["n"] == 3
    assert set(content["random"]["architectures"]) <= set(ordered(run, budget))
    assert (content["ordered_by"], content["budget"]) == ("predicted", budget)
    known = json.loads((run / "winners/standalone/known_accuracies.json").read_text())
    assert {row["arch"] for row in known.values()} == {*content["best"]["architectures"], *content["random"]["architectures"]}
    assert "Each was trained alone for 2 epochs of Digits at 8x8 pixels in batches of 64 by SGD" in " ".join(done.out.split())
    assert "Whether it pays to choose by predicted is open. Trained alone, the best reach" in " ".join(done.out.split())
    assert max(len(line) for line in done.out.splitlines() if str(run) not in line) <= 80
    table = (run / "report.md").read_text().split("The winners and the random ones:")[1].split("\n## ")[0]
    for kind in ("best", "random"):
        for code in content[kind]["architectures"]:
            assert f"| {kind} | {code} |" in table
    _, dataset, recipe, _ = trained[0]  # experiment=micro's own
    assert (dataset.name, len(dataset.train().labels), recipe.epochs, recipe.batch_size) == ("digits", 200, 2, 64)


def test_the_same_command_again_trains_only_what_is_missing(run: Path, command: Callable, trained: list[Any]):
    arguments = ["standalone", "choose=best", f"scores={run}/ranking/scores.csv", "random=0"]
    for count in (2, 4):
        done = command(*arguments, f"count={count}")
        assert done.code == 0, done.err
    assert [str(call[0]) for call in trained] == ordered(run)[:4]
    content = json.loads((run / "winners/standalone/winners.json").read_text())
    assert (content["best"]["n"], content["random"]["n"], "difference" in content) == (4, 0, False)
    won = read_winners(run)
    assert won is not None
    assert not gain_in_words(won)  # the page has nothing to say of a comparison


def test_a_further_seed_is_in_the_recipe_that_the_page_tells_of(run: Path, command: Callable, trained: list[Any]):
    arguments = ["standalone", "choose=best", f"scores={run}/ranking/scores.csv", "count=2", "random=0"]
    for seeds in ("[0]", "[0,1]"):
        done = command(*arguments, f"standalone.seeds={seeds}")
        assert done.code == 0, done.err
    assert len(trained) == 4
    assert "(each the mean of 2 seeds)" in str(recipe_of(read_yaml(run / "winners/standalone/config.yaml")))


def test_a_choice_of_a_group_is_typed_too(run: Path, tmp_path: Path, command: Callable, trained: list[Any]):
    arguments = ["choose=best", f"scores={run}/ranking/scores.csv", "count=1", "random=0", f"run_dir={tmp_path}/mine"]
    cutout = ["augmentation@standalone.augmentation=cutout", "standalone.augmentation.operations.cutout.size=4"]
    done = command("standalone", *arguments, *cutout)
    assert done.code == 0, done.err
    assert "Cutout" in str(trained[0][2].augmentation)


def test_what_is_typed_comes_before_the_runs_own(run: Path, tmp_path: Path, command: Callable, trained: list[Any]):
    arguments = ["choose=best", f"scores={run}/ranking/scores.csv", "count=1", "random=0", f"run_dir={tmp_path}/mine"]
    done = command(
        "standalone", *arguments, "standalone.epochs=7", "standalone.seeds=[3,4]", "data.split_seed=5", "data=digits", "space=resnet_tiny"
    )
    assert done.code == 0, done.err
    assert [(call[2].epochs, call[3]) for call in trained] == [(7, 3), (7, 4)]
    assert trained[0][1].split_seed == 5
    assert (tmp_path / "mine/standalone/winners.json").is_file()
    assert not (run / "winners").exists()


def test_a_ranking_of_nas_rank_leads_to_the_recipe_beside_its_checkpoint(run: Path, tmp_path: Path, command: Callable, trained: list[Any]):
    more = ["ranking.images=100", "ranking.fitted_on=30", f"ranking.list={run}/ranking/submission.json", f"run_dir={tmp_path}/ranked"]
    assert command("rank", f"checkpoint={run}/supernet.safetensors", *more).code == 0
    arguments = ["standalone", "choose=best", f"scores={tmp_path}/ranked/ranking/scores.csv", "count=2", "random=1"]
    done = command(*arguments)
    assert done.code == 0, done.err
    assert (trained[0][1].name, trained[0][1].train_images, trained[0][2].epochs) == ("digits", 200, 2)
    assert (tmp_path / "ranked/winners/standalone/winners.json").is_file()
    (run / "config.yaml").unlink()  # only the weights are left: the command's own recipe, the supernet's shortcuts
    config = OmegaConf.create({"space": {}, "data": {}, "standalone": {"epochs": 300, "shortcuts": "where_needed"}})
    take_from_run(config, tmp_path / "ranked/ranking/scores.csv", {})
    assert config.standalone == {"epochs": 300, "shortcuts": "always"}
    assert config.space.max_widths == [8, 12, 16]
    (run / "supernet.safetensors").write_bytes(b"another")
    with pytest.raises(InputError, match=r"^scores: .* was ranked with another checkpoint than .*supernet\.safetensors is now"):
        take_from_run(config, tmp_path / "ranked/ranking/scores.csv", {})


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["choose=best"], "scores: is missing; choose=best takes the best of a ranking's scores.csv"),
        (["choose=best", "scores=RUN/nowhere.csv"], "scores: RUN/nowhere.csv is not a file"),
        (
            ["choose=best", "scores=RUN/ranking/scores.csv", "count=25"],
            "count: 25 is more than RUN/ranking/scores.csv has: 24 candidates\n",
        ),
        (["choose=best", "scores=RUN/ranking/scores.csv", "random=25"], "random: 25 is more than RUN/ranking/scores.csv has: 24"),
        (
            ["choose=best", "scores=RUN/ranking/scores.csv", "budget=9"],
            "count: 10 is more than RUN/ranking/scores.csv has: 0 candidates of",
        ),
        (["choose=best", "scores=RUN/../alone.csv"], "scores: RUN/../alone.csv lies in no run folder"),
        (["budget=9", "data=digits", "space=resnet_tiny"], "budget: 9 goes only with choose=best"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_trained(arguments: list[str], says: str, run: Path, command: Callable, trained: list[Any]):
    shutil.copy(run / "ranking/scores.csv", run.parent / "alone.csv")
    done = command("standalone", *(argument.replace("RUN", str(run)) for argument in arguments))
    assert (done.code, done.err.count("\n")) == (2, 1), done.err
    assert done.err.startswith(f"error: {says.replace('RUN', str(run))}")
    assert not trained
    assert not (run / "winners").exists()


def test_a_run_cannot_choose_the_best_before_it_ranks(tmp_path: Path, command: Callable):
    done = command("train", "experiment=micro", "standalone.choose=best", f"run_dir={tmp_path}/run")
    assert done.code == 2
    assert done.err.startswith("error: standalone.choose: best needs a ranking; ")


def test_only_winners_may_lie_in_another_run(run: Path, command: Callable):
    done = command("standalone", "choose=best", f"scores={run}/ranking/scores.csv", f"run_dir={run}/others")
    assert (done.code, done.err) == (2, f"error: run_dir: {run}/others lies in the run folder {run}; give another run_dir\n")


def test_the_difference_has_welchs_interval(micro: Path):
    winners = choose_winners(micro / "ranking/scores.csv", TINY, 5, 6, None, seed=1)
    population = winners.population(TINY)
    rng = np.random.default_rng(0)
    accuracies = {one: rng.uniform(0.3, 0.9, 2) for one in population.architectures}
    truth = GroundTruth(population, np.array([accuracies[one] for one in population.architectures]))
    content = compare_winners(winners, truth)
    best, random = ([accuracies[one.architecture].mean() for one in chosen] for chosen in (winners.best, winners.random))
    assert content["best"]["mean"] == pytest.approx(np.mean(best))
    assert content["random"]["spread"] == pytest.approx(np.std(random, ddof=1))
    interval = stats.ttest_ind(best, random, equal_var=False).confidence_interval()
    assert content["difference"] == pytest.approx({"value": np.mean(best) - np.mean(random), "low": interval.low, "high": interval.high})
    assert f"{100 * (np.mean(best) - np.mean(random)):+.2f} points" in describe_winners(content)
    assert json.loads(json.dumps(content, allow_nan=False)) == content


def test_the_difference_of_a_few_has_no_interval_and_says_why(micro: Path):
    winners = choose_winners(micro / "ranking/scores.csv", TINY, 2, 2, None, seed=1)
    population = winners.population(TINY)
    content = compare_winners(winners, GroundTruth(population, np.linspace(0.5, 0.8, len(population))[:, None]))
    assert content["difference"].keys() == {"value"}
    assert describe_winners(content).endswith(" points (no interval: that takes 5 of each).")


def test_a_diverged_winner_is_left_out_of_the_comparison(micro: Path):
    winners = choose_winners(micro / "ranking/scores.csv", TINY, 2, 0, None, seed=0)
    kept = Population(TINY, winners.best[1:])
    content = compare_winners(winners, GroundTruth(kept, np.array([[0.5]])))
    assert (content["best"]["n"], content["best"]["mean"], content["best"]["spread"]) == (1, 0.5, None)
    assert " 50.00" in describe_winners(content)


def test_the_runs_config_is_taken_whole_except_for_the_choice(run: Path):
    own = yaml.safe_load((run / "config.yaml").read_text())
    config = OmegaConf.create({"standalone": {"epochs": 300}, "data": {"_target_": "typed"}, "space": {}})
    take_from_run(config, run / "ranking/scores.csv", {"data": "cifar10", "standalone.choose": "best"})
    assert config.standalone == {key: value for key, value in own["standalone"].items() if key not in ("choose", "count", "enabled")}
    assert config.data == {"_target_": "typed"}
    assert config.space == own["space"]


def test_a_key_of_the_runs_own_images_can_be_typed(run: Path, tmp_path: Path, command: Callable, trained: list[Any]):
    arguments = ["choose=best", f"scores={run}/ranking/scores.csv", "count=1", "random=0", f"run_dir={tmp_path}/mine"]
    done = command("standalone", *arguments, "data.split_seed=5", "data.train_images=150")
    assert done.code == 0, done.err
    assert (trained[0][1].split_seed, trained[0][1].train_images) == (5, 150)
    done = command("standalone", *arguments, "data.train_image=150")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "train_images" in done.err  # the closest key of the run's data set, not of the command's own
