"""What trains a truth, or more of it: the command that made the ranking, with other words at its end."""

from pathlib import Path

import numpy as np
import pytest

from nas_lightning.report.truth_command import TRUTH, reason, truth_commands

RUN = Path("/runs/a")
TYPED = ["train.py", "experiment=x", "run_dir=b", "standalone.count=3", "ranking.known_accuracies=F"]


def test_a_run_without_truth_trains_some_candidates():
    (words,) = truth_commands(TYPED, {"standalone": {"enabled": False, "count": 3}}, RUN, 1000, 0)
    assert words == ["python", "train.py", "experiment=x", "standalone.enabled=true", f"standalone.count={TRUTH}", "run_dir=/runs/a"]
    (words,) = truth_commands(["/bin/nas-train"], {}, RUN, 20, 0)
    assert words == ["nas-train", "standalone.enabled=true", "standalone.count=20", "run_dir=/runs/a"]


@pytest.mark.parametrize("count", [3, 6, 8, 12, 24, 60])
@pytest.mark.parametrize("candidates", [200, 1000])
def test_more_truth_holds_the_candidates_that_were_trained(count: int, candidates: int):
    (words,) = truth_commands(TYPED, {"standalone": {"enabled": True, "count": count}}, RUN, candidates, count)
    more = int(words[-2].removeprefix("standalone.count="))
    assert more >= max(TRUTH, 2 * count - 1)
    places, before = (set(np.linspace(0, candidates - 1, number).round().astype(int)) for number in (more, count))  # as they are chosen
    assert before <= places


def test_where_all_were_trained_there_is_no_more():
    for count in (None, 24):
        assert truth_commands(TYPED, {"standalone": {"enabled": True, "count": count}}, RUN, 24, 24) == []
    assert truth_commands(TYPED, {"standalone": {"enabled": False}}, RUN, 24, 24) == []  # the config is that of the first call


def test_known_accuracies_of_a_file_give_way_to_trained_ones():
    (words,) = truth_commands(TYPED, {"ranking": {"known_accuracies": "F"}}, RUN, 1000, 30)
    assert words[-3:] == ["standalone.count=60", "ranking.known_accuracies=null", "run_dir=/runs/a"]
    assert "ranking.known_accuracies=F" not in words


def test_a_noisy_truth_gets_more_seeds_and_the_number_is_explained():
    noisy = {"standalone": {"enabled": True, "count": 8, "seeds": [1]}}
    (words,) = truth_commands([*TYPED, "standalone.seeds=[1]"], noisy, RUN, 1000, 8, is_noisy=True)
    assert words[-4:] == ["standalone.seeds=[1,0,2]", "standalone.enabled=true", "standalone.count=29", "run_dir=/runs/a"]
    assert "standalone.seeds=[1]" not in words
    assert reason(words, 8, is_noisy=True).startswith("(29 in place of 8 narrow Kendall's interval to about 53%; several seeds, ")
    (words,) = truth_commands(TYPED, noisy, RUN, 8, 8, is_noisy=True)  # all were trained once
    assert "standalone.seeds=[1,0,2]" in words
    assert "standalone.count=8" in words
    assert truth_commands(TYPED, {"standalone": {**noisy["standalone"], "seeds": [0, 1, 2]}}, RUN, 8, 8, is_noisy=True) == []
    (words,) = truth_commands(TYPED, {}, RUN, 1000, 0)
    assert reason(words, 0) == "(24 tell Kendall to about 0.2 either way)"


def test_nas_rank_is_given_what_nas_standalone_trained():
    train, rank = truth_commands(["/bin/nas-rank", "checkpoint=C", "run_dir=b"], {"checkpoint": "C"}, RUN, 1000, 8)
    place = "run_dir=/runs/a/winners"
    assert train == ["nas-standalone", "choose=best", "scores=/runs/a/ranking/scores.csv", "count=1", "random=24", place]
    known = "ranking.known_accuracies=/runs/a/winners/standalone/known_accuracies.json"
    assert rank == ["nas-rank", "checkpoint=C", known, "run_dir=/runs/a"]
