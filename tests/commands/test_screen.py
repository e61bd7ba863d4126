"""What a ranking shows at its end: in 80 columns, with a command that comes next and can be pasted."""

import json
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from scipy.stats import kendalltau

from nas_lightning.agreement import agreement_with
from nas_lightning.commands.screen import WIDTH, assigned, closing, ranking_screen, to_paste
from nas_lightning.console.overrides import readable
from nas_lightning.scoring.meanings import worse_than_guessing
from nas_lightning.scoring.table import NOT_SCORED, Score, ScoreTable
from nas_lightning.space import Population, ResidualStructure, SearchSpace

TINY, TRACK1 = SearchSpace("tiny", (1, 1, 1), (8, 12, 16), 2, 8), SearchSpace("track1", (3, 3, 3), (16, 32, 64), 4, 32)
RNG = np.random.default_rng(0)


def table(space: SearchSpace, count: int = 40) -> ScoreTable:
    scores = [Score(float(value), 0.9, float(2 - value)) for value in RNG.random(count)]
    return ScoreTable.of(Population.draw(space, count, 0), scores, ResidualStructure(space, 10, 3))


@pytest.mark.parametrize("space", [TINY, TRACK1], ids=lambda space: space.name)
@pytest.mark.parametrize("knows", [False, True])
def test_a_screen_fits_the_terminal(space: SearchSpace, knows: bool):
    ranked = table(space)
    first = replace(ranked.population[0], name="a name of a candidate that is longer than all that a table holds" * 2)
    ranked = replace(ranked, population=Population(space, (first, *ranked.population.candidates[1:])))
    known = dict(zip(ranked.population.architectures, RNG.random(40).tolist(), strict=True))
    text = ranking_screen(ranked, "cross_entropy", agreement_with(ranked, known, 50) if knows else None, [10**6], ["a note " * 30])
    assert max(map(len, text.splitlines())) <= WIDTH
    assert len(text.splitlines()) < 40


def test_the_three_best_are_shown_with_their_widths_where_these_fit():
    for space, fits in ((TINY, True), (TRACK1, False)):
        ranked = table(space)
        order = np.argsort([score.cross_entropy for score in ranked.scores])
        lines = ranking_screen(ranked, "cross_entropy", None).splitlines()
        for row in order[:3]:
            (line,) = [line for line in lines if line.startswith(f"{ranked.population[row].name} ")]
            assert f"  {ranked.scores[row].cross_entropy:.4f}  " in line
            assert line.endswith(ranked.population[row].text) == fits
        assert any("scores.csv" in line for line in lines) != fits
        assert any(line.split()[:4] == ["name", "cross", "entropy,", "nats"] for line in lines)
        assert "cross entropy, nats: mean over the images; less is better" in lines
        assert not any(line.startswith(f"{ranked.population[order[3]].name} ") for line in lines)


def test_a_truth_of_predicted_candidates_says_why_it_lacks_scores():
    ranked = table(TINY)
    known = dict(zip(ranked.population.architectures, RNG.random(40).tolist(), strict=True))
    why = "No row for top-1 and cross entropy: some candidates are only predicted."
    for scores, is_told in ((ranked.scores, False), ((*ranked.scores[:39], NOT_SCORED), True)):
        some = replace(ranked, scores=scores, predicted=RNG.random(40))
        lines = ranking_screen(some, "predicted", agreement_with(some, known, 50)).splitlines()
        assert (why in lines) == is_told


def test_an_order_without_truth_is_compared_with_that_of_the_parameters():
    ranked = table(TINY)
    tau = kendalltau([score.top1 for score in ranked.scores], ranked.parameters).statistic
    said = " ".join(ranking_screen(ranked, "top1", None).split())
    assert f"the one with more parameters stands higher in about {50 + 50 * tau:.0f} of 100 pairs (Kendall {tau:.3f}; 50" in said
    assert "top-1, %: share of the images classified right; more is better" in said


def test_a_single_candidate_has_no_order_to_compare():
    ranked = table(TINY, 1)
    assert ranking_screen(ranked, "top1", None).endswith("so how far to trust this order is unknown.")


def test_what_comes_next_depends_on_what_the_folder_holds(tmp_path: Path):
    run, typed = tmp_path / "run", ["train.py", "experiment=x", "data.root=a b", "run_dir=gone", "standalone.count=3"]
    (run / "ranking").mkdir(parents=True)
    assert words(closing(run, "", typed, {"data": {"root": "a b"}})) == [
        "nas-rank",
        f"checkpoint={run}/supernet.safetensors",
        "data.root=a b",
    ]
    table(TINY).write(run / "ranking/scores.csv")
    truth = ["experiment=x", "data.root=a b", "standalone.enabled=true", "standalone.count=24", f"run_dir={run}"]
    assert words(closing(run, "", typed)) == ["python", "train.py", *truth]
    assert words(closing(run, "", ["/bin/nas-train", *typed[1:]])) == ["nas-train", *truth]
    best = ["nas-standalone", "choose=best", f"scores={run}/ranking/scores.csv", "count=10", f"run_dir={run}/winners"]
    assert words(closing(run, "")) == best
    (run / "ranking/agreement.json").write_text("{}")
    assert words(closing(run, "", typed)) == best
    assert "page:" not in closing(run, "")
    (run / "report.html").touch()
    assert closing(run, "page: p\n").splitlines()[0] == "page: p"
    table(TINY, 4).write(run / "ranking/scores.csv")
    assert "count=4" in words(closing(run, ""))


@pytest.mark.parametrize(
    ("kendall", "follows"),
    [((0.3, -0.4, 0.8), "train more candidates alone"), ((0.6, 0.4, 0.8), "train the winners alone"), ((0.0, -0.2, 0.2), "")],
)
def test_what_comes_next_depends_on_the_verdict(kendall: tuple[float, ...], follows: str, tmp_path: Path):
    ranked = table(TINY)
    ranked.write(tmp_path / "ranking/scores.csv")
    (tmp_path / "ranking/protocol.json").write_text('{"ordered_by": "top1"}')
    estimate = dict(zip(("value", "low", "high"), kendall, strict=True))
    (tmp_path / "ranking/agreement.json").write_text(json.dumps({"n": 8, "scores": {"top-1": {"kendall": estimate}}}))
    config = {"standalone": {"enabled": True, "count": 8}}
    text = closing(tmp_path, "", ["train.py", "experiment=x"], config)
    assert text.startswith(f"next, {follows}" if follows else "next, train the supernet for longer: this order is not one to choose by")
    if follows.startswith("train more"):
        assert words(text) == [
            "python",
            "train.py",
            "experiment=x",
            "standalone.enabled=true",
            "standalone.count=29",
            f"run_dir={tmp_path}",
        ]
        several = closing(tmp_path, "", ["/bin/nas-rank", "checkpoint=C"], {"checkpoint": "C"}).splitlines()
        assert [line.split()[0] for line in several if line.startswith("  n")] == ["nas-standalone", "nas-rank"]
        assert max(map(len, text.splitlines()[:1])) <= WIDTH


def test_the_screen_says_the_verdict_and_counts_what_is_only_predicted():
    ranked = table(TINY)
    known = dict(zip(ranked.population.architectures[:8], np.linspace(0.2, 0.8, 8).tolist(), strict=True))
    text = " ".join(ranking_screen(ranked, "top1", agreement_with(ranked, known, 50)).split())
    assert "Cannot tell yet: 8 known accuracies are too few to judge the order." in text
    predicted = np.array([score.cross_entropy for score in ranked.scores])
    some = replace(ranked, scores=(*ranked.scores[:30], *[NOT_SCORED] * 10), predicted=predicted)
    assert "The best of 40 candidates, ordered by predicted\n(30 were scored, 10 only predicted)\n" in ranking_screen(
        some, "predicted", None
    )


def words(text: str) -> list[str]:
    """The words of the command, as a shell reads them."""
    return shlex.split(text.split(":\n", 1)[1].replace("\\\n", ""))


@pytest.mark.parametrize("value", ["plain/path", "a b/c", "it's", 'with "quotes"', "a,b", "[x]", "epoch=3.ckpt", "$HOME", "日本"])
def test_a_command_gives_each_value_as_it_is(value: str):
    name, argument = shlex.split(to_paste(["nas-rank", assigned("run_dir", value)]).replace("\\\n", ""))
    assert name == "nas-rank"
    (override,) = OverridesParser.create().parse_overrides(readable([argument]))
    given = override.value()
    assert str(getattr(given, "text", given)) == value


@pytest.mark.slow
def test_a_run_shows_one_table_one_sentence_and_what_comes_next(command: Callable, tmp_path: Path):
    done = command("train", "experiment=micro", "standalone.count=3", f"run_dir={tmp_path}/run")
    assert done.code == 0, done.err
    first, *_ = done.out.splitlines()
    assert first == f"run folder: {tmp_path}/run"
    agreement = json.loads((tmp_path / "run/ranking/agreement.json").read_text())
    assert done.out.count(" resamples, seed 0") == 1
    kendall = agreement["scores"]["predicted"]["kendall"]
    assert f"{kendall['value']:.3f} [{kendall['low']:.3f}, {kendall['high']:.3f}]" in done.out
    assert "Pearson" not in done.out
    assert "Cannot tell yet: 3 known accuracies are too few to judge the order." in done.out
    assert "standalone.count=24" in words(done.out[done.out.index("next, ") :])


@pytest.mark.slow
def test_the_command_that_follows_a_run_without_truth_trains_one(command: Callable, tmp_path: Path):
    tiny = ["experiment=micro", "standalone=none", "standalone.epochs=1", "standalone.batch_size=64", "ranking.images=60"]
    done = command("train", *tiny, f"run_dir={tmp_path}/run")
    assert done.code == 0, done.err
    assert "how far to trust this order is unknown" in " ".join(done.out.split())
    name, *arguments = words(done.out[done.out.index("next, ") :])
    assert name == "train"
    again = command(name, *(argument.replace("count=24", "count=3") for argument in arguments))
    assert again.code == 0, again.err
    assert "stage" not in again.err  # all were finished
    assert json.loads((tmp_path / "run/ranking/agreement.json").read_text())["n"] == 3
    assert "next, train more candidates alone" in again.out


def test_images_on_which_all_are_equally_good_are_named():
    ranked = replace(table(TINY), scores=(Score(1.0, 1.0, 0.01),) * 40)
    said = "All 40 scored candidates have the top-1 100.00 %: these images can hardly tell them apart."
    assert said in " ".join(ranking_screen(ranked, "top1", None).split())
    assert "tell them apart" not in ranking_screen(table(TINY), "top1", None)


def test_a_truth_in_which_all_are_equal_settles_no_order(tmp_path: Path):
    ranked = table(TINY)
    known = dict.fromkeys(ranked.population.architectures[:12], 1.0)
    agreement = agreement_with(ranked, known, 50)
    said = "The known accuracies are all equal, so that no order can be checked against them."
    assert said in " ".join(ranking_screen(ranked, "top1", agreement).split())
    ranked.write(tmp_path / "ranking/scores.csv")
    (tmp_path / "ranking/agreement.json").write_text(json.dumps(agreement.to_json()))
    next_step = "next, take images or candidates that differ more: this truth knows no best one"
    assert closing(tmp_path, "page: p\n", ["train.py", "experiment=x"]) == f"page: p\n{next_step}"


@pytest.mark.parametrize(
    ("entropies", "classes", "said"),
    [
        ((2.31, 2.4, 9.0), 10, "worse than guessing: cross entropy 2.310 and more, where equal chances for 10 classes have 2.303."),
        ((2.30, 2.4, 9.0), 10, ""),
        ((2.31, 2.4, 9.0), 100, ""),
    ],
)
def test_a_ranking_of_candidates_that_are_all_worse_than_guessing_says_so(entropies: tuple[float, ...], classes: int, said: str):
    found = worse_than_guessing(entropies, classes)
    assert said in found
    assert bool(said) == bool(found)
