"""``nas-search`` as a whole, with the weights of an untrained supernet."""

import csv
import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas_lightning.commands import searching
from nas_lightning.commands.search_screen import search_screen
from nas_lightning.commands.winners import choose_searched, folder_of
from nas_lightning.data import Digits, evaluation_images
from nas_lightning.data.check import describe
from nas_lightning.errors import InputError
from nas_lightning.report.winners import limit_in_words
from nas_lightning.scoring.score import score as scored
from nas_lightning.search.problem import Problem, counted
from nas_lightning.space import Population
from nas_lightning.supernet import Supernet
from nas_lightning.supernet.checkpoint import make_header, save_supernet
from tests.conftest import run_command
from tests.search.problems import SPACE

MADE = ("evaluated.csv", "front.csv", "chosen.json", "hypervolume.csv", "finalists.csv")
SMALL = ["search.evaluations=30", "search.population=10", "search.images=20", "search.finalists=2"]
HALVING = "search.algorithm=successive_halving"
BUDGETS = "search.budgets={multiply_adds: [30%, 60%]}"


@pytest.fixture(scope="module")
def supernet() -> Supernet:
    return Supernet(SPACE, classes=10, channels=1).eval()


@pytest.fixture(scope="module")
def checkpoint(supernet: Supernet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "supernet.safetensors"
    save_supernet(path, supernet, make_header(supernet, describe(Digits(resolution=8))))
    return path


@pytest.fixture(scope="module")
def arguments(checkpoint: Path) -> list[str]:
    return [f"checkpoint={checkpoint}", *SMALL, BUDGETS]


@pytest.fixture(scope="module")
def whole(arguments: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a search that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    done = run_command("search", *arguments, "search.baselines=15", f"run_dir={folder}")
    assert done.code == 0, done.err
    assert max(len(line) for line in done.out.splitlines()[1:] if "/" not in line) <= 80  # paths are of any length
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / "search" / name).read_bytes() for name in MADE}


@pytest.mark.slow
def test_the_chosen_keep_to_their_budgets_and_have_both_scores(whole: Path, supernet: Supernet):
    evaluated = rows(whole / "search/evaluated.csv")
    codes = [row["architecture"] for row in evaluated]
    assert len(codes) == len({*codes}) == 30
    chosen = json.loads((whole / "search/chosen.json").read_text())
    largest = int(supernet.structure.cost([SPACE.largest.widths]).multiply_adds[0])
    assert [entry["budget"] for entry in chosen] == [{"multiply_adds": int(share * largest)} for share in (0.3, 0.3, 0.6, 0.6)]
    assert [entry["place"] for entry in chosen] == [1, 2, 1, 2]
    available = len(Digits(resolution=8).test().labels)
    for entry in chosen:
        architecture = SPACE.parse(entry["architecture"])
        assert entry["cost"]["multiply_adds"] == supernet.structure.cost([architecture.widths]).multiply_adds[0]
        assert entry["cost"]["multiply_adds"] <= entry["budget"]["multiply_adds"]
        for part, count in (("searched", 20), ("all_images", available)):  # all, though they are no whole batches of 20
            alone = scored(supernet, architecture, *evaluation_images(Digits(resolution=8), count), 20)
            assert entry[part]["images"] == count
            assert entry[part]["cross_entropy"] == pytest.approx(alone.cross_entropy, rel=1e-5)
    for budget in {entry["budget"]["multiply_adds"] for entry in chosen}:
        losses = sorted(float(row["cross_entropy"]) for row in evaluated if int(row["multiply_adds"]) <= budget)
        ours = [entry for entry in chosen if entry["budget"]["multiply_adds"] == budget]
        assert sorted(entry["searched"]["cross_entropy"] for entry in ours) == losses[:2]
        assert np.diff([entry["all_images"]["cross_entropy"] for entry in ours]) >= 0


def test_a_budget_that_the_best_found_hardly_uses_is_named(supernet: Supernet):
    problem = Problem(SPACE, counted(supernet.structure.cost))
    smallest, largest = problem.ends("multiply_adds")
    score, code = {"images": 20, "cross_entropy": 1.0}, SPACE.text(SPACE.smallest)
    budgets = tuple({"multiply_adds": cost} for cost in (smallest, largest))
    entry = {"architecture": code, "place": 1, "objective": "cross_entropy", "searched": score, "all_images": score}
    entry |= {"cost": {"multiply_adds": smallest}, "share_of_largest": {"multiply_adds": smallest / largest}}
    text = " ".join(search_screen(replace(problem, budgets=budgets), [{**entry, "budget": one} for one in budgets], 9).split())
    assert f"Of {largest:,.0f} multiply-adds the best found uses {smallest / largest:.0%}: raise search.evaluations" in text
    assert f"Of {smallest:,.0f} multiply-adds" not in text


@pytest.mark.parametrize(
    ("gain", "said"), [(-0.5, "is worse than that under"), (0.01, "may differ by chance alone from that under"), (0.5, None)]
)
def test_what_a_larger_budget_gains_is_judged_by_its_error(gain: float, said: str | None, supernet: Supernet):
    problem = Problem(SPACE, counted(supernet.structure.cost))
    _, largest = problem.ends("multiply_adds")
    score, code, budget = {"images": 20, "cross_entropy": 1.0}, SPACE.text(SPACE.largest), {"multiply_adds": largest}
    entry = {"architecture": code, "place": 1, "objective": "cross_entropy", "searched": score, "all_images": score, "budget": budget}
    entry |= {"cost": budget, "share_of_largest": {"multiply_adds": 1.0}}
    entry |= {"over_smaller_budget": {"budget": {"multiply_adds": 1e4}, "top1": gain, "standard_error": 0.1}}
    text = " ".join(search_screen(replace(problem, budgets=(budget,)), [entry], 9).split())
    assert (said in text) if said else ("standard error" not in text)


def test_the_front_and_both_random_starts_are_written(whole: Path):
    front = [(int(row["multiply_adds"]), float(row["cross_entropy"])) for row in rows(whole / "search/front.csv")]
    every = [(int(row["multiply_adds"]), float(row["cross_entropy"])) for row in rows(whole / "search/evaluated.csv")]
    assert front == sorted(one for one in every if not any(other != one and other[0] <= one[0] and other[1] <= one[1] for other in every))
    runs = [(row["run"], int(row["evaluated"])) for row in rows(whole / "search/hypervolume.csv")]
    counts = {"search": (10, 20, 30), "spread": (10, 15), "uniform": (10, 15)}
    assert runs == [(name, count) for name, each in counts.items() for count in each]
    protocol = json.loads((whole / "search/protocol.json").read_text())
    assert (protocol["images"], protocol["algorithm"], protocol["costs"]) == (20, "nsga2", ["multiply_adds"])


def test_the_same_command_again_scores_nothing(arguments: list[str], whole: Path, command: Callable, monkeypatch: pytest.MonkeyPatch):
    before = contents(whole)
    monkeypatch.setattr(searching, "rank_to_folder", None)
    done = command("search", *arguments, "search.baselines=15", f"run_dir={whole}")
    assert done.code == 0, done.err
    assert contents(whole) == before


@pytest.mark.slow
def test_the_config_on_the_page_is_what_was_asked_for_last(arguments: list[str], tmp_path: Path, command: Callable):
    for finalists in (2, 3):
        done = command("search", *arguments, f"search.finalists={finalists}", f"run_dir={tmp_path}")
        assert done.code == 0, done.err
        assert f"finalists: {finalists}" in (tmp_path / "search/config.yaml").read_text()


def killed(call: int, is_before: bool, *arguments: str) -> None:
    """Runs the command in another process that kills itself at a call that scores."""
    if (child := os.fork()) == 0:
        calls, rank = [0], searching.rank_to_folder

        def struck(*given: Any, **more: Any) -> Any:
            calls[0] += 1
            if is_before and calls[0] == call:
                os.kill(os.getpid(), signal.SIGKILL)
            result = rank(*given, **more)
            if calls[0] == call:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        searching.rank_to_folder = struck
        try:
            run_command("search", *arguments)
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize("calls", [[(1, True)], [(1, False), (1, False)], [(2, True), (2, False)], [(4, True), (1, False)]])
def test_a_search_that_is_killed_ends_with_the_same_bytes(
    calls: list[tuple[int, bool]], arguments: list[str], whole: Path, tmp_path: Path, command: Callable
):
    for call, is_before in calls:
        killed(call, is_before, *arguments, f"run_dir={tmp_path}")
    done = command("search", *arguments, f"run_dir={tmp_path}")
    assert done.code == 0, done.err
    after, undisturbed = contents(tmp_path), contents(whole)
    for name in ("evaluated.csv", "front.csv", "chosen.json", "finalists.csv"):
        assert after[name] == undisturbed[name], name


def test_predicted_scores_choose_too(checkpoint: Path, tmp_path: Path, command: Callable):
    predicted = ["search.objective=predicted", "search.fitted_on=30", "search.costs=[parameters]", *SMALL[1:]]
    done = command("search", f"checkpoint={checkpoint}", *predicted, "search.evaluations=40", f"run_dir={tmp_path}")
    assert done.code == 0, done.err
    assert len(rows(tmp_path / "search/fitted.csv")) == 30
    evaluated = rows(tmp_path / "search/evaluated.csv")
    assert len(evaluated) == 40
    assert all(row["predicted"] and not row["cross_entropy"] for row in evaluated)
    chosen = json.loads((tmp_path / "search/chosen.json").read_text())
    assert [entry["predicted"] for entry in chosen] == sorted(float(row["predicted"]) for row in evaluated)[:2]
    assert all(np.isfinite(entry[part]["cross_entropy"]) for entry in chosen for part in ("searched", "all_images"))


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("search.budgets={multiply_adds: 1000}", "error: search.budgets.multiply_adds: 1000 is below the smallest candidate, which has "),
        (
            "search.budgets={macs: 5e6}",
            "error: search.budgets.macs: is not a key; known: multiply_adds, parameters, latency",
        ),
        ("search.budgets={latency: 1e-6}", "error: search.budgets.latency: 1e-06 is below the smallest candidate, which has 0."),
        (
            "search.budgets={batch_latency: 0.001%}",
            "error: search.budgets.batch_latency: 0.001% is below the smallest candidate",
        ),
        ("search.budgets={latency: fast}", "error: search.budgets.latency: 'fast' must be a number above 0, or a share of the largest"),
        ("search.latency_batch=1", "error: search.latency_batch: 1 must be at least 2"),
        ("search.costs=[delay]", "error: search.costs: delay: is not a key; known: multiply_adds, parameters, latency"),
        ("search.costs=[]", "error: search.costs: [] must be one or two different costs of multiply_adds, parameters, latency"),
        ("search.algorithm=annealing", "error: search.algorithm: 'annealing' is not one of nsga2, random, successive_halving, list"),
        ("search.algorithm=[successive_halving]", "error: search.algorithm: "),
        (
            f"{HALVING} search.evaluations=39",
            "error: search.evaluations: 39 must be at least 40 with successive_halving and search.population=10: 4 rungs, each the work",
        ),
        (f"{HALVING} search.images=15", "error: search.images: 15 must be at least 16 with successive_halving: its first rung has 1 in 8"),
        (f"{HALVING} search.objective=predicted", "error: search.algorithm: successive_halving saves images, of which search.objective="),
        ("search.objective=loss", "error: search.objective: 'loss' is not one of cross_entropy, predicted, top1"),
        ("search.list=/nowhere.json", "error: search.list: /nowhere.json does nothing without search.start=list or search.algorithm="),
        ("search.start=middle", "error: search.start: 'middle' is not one of spread, uniform, list"),
        ("search.evaluations=0", "error: search.evaluations: 0 must be at least 1"),
        ("search.population=1", "error: search.population: 1 must be at least 2"),
        ("search.finalists=none", "error: search.finalists: "),
        ("search.seed=-1", "error: search.seed: -1 must be at least 0"),
        ("search.batch_size=0", "error: search.batch_size: 0 must be at least 1"),
        ("search.budgets=10e6", "error: search.budgets: "),
        (
            "search.costs=[parameters,parameters]",
            "error: search.costs: ['parameters', 'parameters'] must be one or two different costs of ",
        ),
        ("search.objective=predicted search.predictor=forest", "error: search.predictor: 'forest' is not one of "),
        ("search.start=list", "error: search.list: is missing; a search of a list needs its file"),
        ("search.images=100000", "error: search.images: 100000 must be an integer from 1 to "),
        ("search.evaluation=7", "error: search.evaluation: is not a key; did you mean evaluations?"),
    ],
)
def test_a_mistake_is_one_line_before_any_work(given: str, line: str, arguments: list[str], tmp_path: Path, command: Callable):
    others = arguments[:-1] if given.startswith("search.budgets") else arguments
    done = command("search", *others, *(given.split() if " search." in given else [given]), f"run_dir={tmp_path}/run")
    assert (done.code, done.err.count("\n"), done.out) == (2, 1, "")
    assert done.err.startswith(line)
    assert not (tmp_path / "run").exists()


def test_another_search_in_the_same_folder_is_refused(arguments: list[str], whole: Path, command: Callable):
    done = command("search", *arguments, "search.baselines=15", "search.seed=1", f"run_dir={whole}")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "search.seed was 0, is 1; give another run_dir" in done.err


def test_the_page_shows_the_chosen_with_both_scores(whole: Path, command: Callable):
    done = command("report", f"run_dir={whole}")
    assert done.code == 0, done.err
    text = (whole / "report.md").read_text()
    assert text.index("The best under budgets") < text.index("Protocol" if "Protocol" in text else "Environment")
    available = len(Digits(resolution=8).test().labels)
    heads = [
        *(f"cross entropy, nats, {count:,} images" for count in (available, 20)),
        "multiply-adds, M",
        "multiply-adds, %",
    ]
    assert f" {' | '.join(heads)} | " in text
    assert f"on 20 of {available:,} test images" in text
    assert f"its score on 20 of the images, and the best of many noisy scores is too good; the score on all {available:,} is" in text
    for entry in json.loads((whole / "search/chosen.json").read_text()):
        (row,) = [line for line in text.splitlines() if f" {entry['architecture']} " in line and f"| {entry['place']} |" in line][:1]
        assert f"{entry['searched']['cross_entropy']:.4f}" in row
        assert f"{entry['all_images']['cross_entropy']:.4f}" in row
    assert {path.name for path in (whole / "report").iterdir()} == {"search_front.png", "search_progress.png"}


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was trained alone: an architecture's accuracy is its share of the largest widths."""
    calls: list[str] = []

    def instead(architecture: Any, *_: Any) -> float:
        calls.append(str(architecture))
        return sum(architecture.widths) / sum(SPACE.largest.widths)

    monkeypatch.setattr("nas_lightning.standalone.truth.train_alone", instead)
    return calls


def test_the_chosen_and_as_many_random_ones_of_their_budget_are_trained(
    whole: Path, supernet: Supernet, trained: list[str], tmp_path: Path, command: Callable
):
    chosen = [entry for entry in json.loads((whole / "search/chosen.json").read_text())][:2]
    budget = int(chosen[0]["budget"]["multiply_adds"])
    given = ["choose=search", f"scores={whole}/search/chosen.json", f"run_dir={tmp_path}/winners"]
    done = command("standalone", *given, f"budget={budget}")
    assert done.code == 0, done.err
    content = json.loads((tmp_path / "winners/standalone/winners.json").read_text())
    assert content["best"]["architectures"] == [entry["architecture"] for entry in chosen]
    assert (content["random"]["n"], content["budget"]) == (2, budget)
    assert {*trained} == {*content["best"]["architectures"], *content["random"]["architectures"]}
    widths = [SPACE.parse(code).widths for code in content["random"]["architectures"]]
    assert supernet.structure.cost(widths).multiply_adds.max() <= budget
    assert "random ones of the same space, of at most" in " ".join(done.out.split())
    for wrong, line in (
        ("budget=7", "error: budget: 7; give a number that only one of those of"),
        ("count=1", "error: budget: is missing; give a number"),
    ):
        done = command("standalone", *given, wrong)
        assert done.code == 2
        assert done.err.splitlines()[-1].startswith(line)


def test_what_a_search_chose_has_another_folder_than_what_a_ranking_did():
    assert folder_of(Path("RUN/search/chosen.json")) == Path("RUN/chosen")
    assert folder_of(Path("RUN/ranking/scores.csv")) == Path("RUN/winners")


@pytest.fixture
def of_two_costs(whole: Path, tmp_path: Path) -> Path:
    """A search's chosen under two budgets that differ in parameters alone."""
    entries = json.loads((whole / "search/chosen.json").read_text())
    for entry, parameters in zip(entries, (3000.5, 3000.5, 5000, 5000), strict=True):
        entry["budget"] = {"multiply_adds": 80_000, "parameters": parameters}
    (tmp_path / "chosen.json").write_text(json.dumps(entries))
    return tmp_path / "chosen.json"


def test_a_budget_is_named_by_a_number_that_it_alone_has(of_two_costs: Path, supernet: Supernet):
    problem = Problem(SPACE, counted(supernet.structure.cost))
    winners = choose_searched(of_two_costs, problem, None, 2, 5000, 0)
    assert [len(winners.best), len(winners.random), winners.under] == [2, 2, "80,000 multiply-adds, 5,000 parameters"]
    assert limit_in_words({"budget": winners.budget, "under": winners.under}) == f", of at most {winners.under}"
    assert choose_searched(of_two_costs, problem, None, 0, 3000.5, 0).random == ()
    with pytest.raises(InputError, match=r"budget: 80,000; give a number that only one of those of .*: 80,000 multiply-adds, 3,000 param"):
        choose_searched(of_two_costs, problem, None, None, 80_000, 0)


def test_fewer_random_ones_than_are_asked_for_are_an_error(of_two_costs: Path, supernet: Supernet):
    entries = json.loads(of_two_costs.read_text())
    smallest = supernet.structure.cost([SPACE.smallest.widths])
    for entry in entries:
        entry["budget"] = {"multiply_adds": int(smallest.multiply_adds[0])}
    of_two_costs.write_text(json.dumps(entries))
    with pytest.raises(InputError, match=r"random: 2 is more than were found of at most .* multiply-adds: 1"):
        choose_searched(of_two_costs, Problem(SPACE, counted(supernet.structure.cost)), None, 2, None, 0)


@pytest.mark.slow
def test_a_list_that_is_not_evaluated_whole_is_told_so(arguments: list[str], tmp_path: Path, command: Callable):
    Population.draw(SPACE, 12, seed=0).write(tmp_path / "list.json")
    given = [*arguments[:1], *SMALL, "search.algorithm=list", f"search.list={tmp_path}/list.json", "search.evaluations=10"]
    done = command("search", *given, f"run_dir={tmp_path}/run", pages=True)
    assert done.code == 0, done.err
    assert "search.evaluations: the first 10 of the list's 12 candidates within the budgets are evaluated" in done.err
    text = (tmp_path / "run/report.md").read_text()
    assert "10 candidates of a list, on 20 of" in text
    assert "drawn at random" not in text


@pytest.mark.slow
def test_a_predicted_search_says_what_ordered_its_finalists(arguments: list[str], tmp_path: Path, command: Callable):
    done = command("search", *arguments, "search.objective=predicted", "search.fitted_on=30", f"run_dir={tmp_path}", pages=True)
    assert done.code == 0, done.err
    assert "ordered by its prediction" in " ".join(done.out.split())
    text = (tmp_path / "report.md").read_text()
    assert "predicted from scores on 20 of" in text
    assert "best first by their prediction" in text
    assert "too good" not in text
    entries = json.loads((tmp_path / "search/chosen.json").read_text())
    assert [entry["predicted"] for entry in entries[:2]] == sorted(entry["predicted"] for entry in entries[:2])


def test_batches_of_a_search_are_no_larger_than_its_images(checkpoint: Path, tmp_path: Path, command: Callable):
    done = command("search", f"checkpoint={checkpoint}", *SMALL, "search.batch_size=1000", f"run_dir={tmp_path}")
    assert done.code == 0, done.err
    assert json.loads((tmp_path / "search/protocol.json").read_text())["batch_size"] == 20
