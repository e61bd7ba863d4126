"""Which score orders: cross entropy everywhere but in the challenge's protocol; the choice stands in the files and above the tables."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from nas_lightning.commands.conf_folder import conf_folder
from nas_lightning.commands.console import plain
from nas_lightning.config.read import read
from nas_lightning.config.schema import MergeConfig, RankConfig, RankingConfig, TrainConfig
from nas_lightning.report.candidates import KINDS

EXPERIMENTS = sorted(path.stem for path in conf_folder().glob("experiment/*.yaml"))
OFFICIAL = ("official_baseline", "track1")
OTHERS = {"track1_cpu": "smoothed"}


def composed(kind: type, name: str, *overrides: str) -> object:
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        return read(kind, plain(compose(name, ["run_dir=out", *overrides])))


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_an_experiment_orders_by_cross_entropy_but_for_the_challenges(experiment: str):
    expected = "top1" if experiment in OFFICIAL else OTHERS.get(experiment, "cross_entropy")
    assert composed(TrainConfig, "config", f"experiment={experiment}").ranking.score == expected


def test_the_commands_order_by_cross_entropy_unless_asked():
    assert RankingConfig().score == "cross_entropy"
    assert composed(MergeConfig, "merge", "shards=x").score is None
    for overrides, score in (((), "cross_entropy"), (("ranking=sample",), "cross_entropy"), (("ranking=official",), "top1")):
        assert composed(RankConfig, "rank", "checkpoint=x", *overrides).ranking.score == score
        assert composed(TrainConfig, "config", "experiment=quickstart", *overrides).ranking.score == score
    assert composed(RankConfig, "rank", "checkpoint=x", "ranking=official", "ranking.score=cross_entropy").ranking.score == "cross_entropy"


def test_official_differs_from_the_default_by_the_score_alone():
    default, official = (vars(composed(RankConfig, "rank", "checkpoint=x", f"ranking={name}").ranking) for name in ("whole", "official"))
    assert {key for key in default if default[key] != official[key]} == {"score"}


@pytest.fixture
def start(micro: Path) -> list[str]:
    return [f"checkpoint={micro}/supernet.safetensors", f"ranking.list={micro}/ranking/submission.json", "ranking.images=60"]


@pytest.mark.parametrize(("more", "score"), [([], "cross_entropy"), (["ranking=official"], "top1")])
def test_the_choice_stands_in_the_protocol_above_the_tables_and_in_the_report(
    more: list[str], score: str, start: list[str], micro: Path, tmp_path: Path, command: Callable
):
    known = f"ranking.known_accuracies={micro}/standalone/known_accuracies.json"
    done = command("rank", *start, *more, known, "ranking.resamples=20", f"run_dir={tmp_path}")
    assert done.code == 0, done.err
    assert json.loads((tmp_path / "ranking/protocol.json").read_text())["ordered_by"] == score
    name = KINDS[score].name
    for title in ("The best of 24 candidates", "The best under a budget of multiply-adds", r"\(95 % bootstrap intervals\); candidates"):
        assert re.search(rf"^.*{title},? ordered by {name}$", done.out, re.MULTILINE), title
    assert command("report", f"run_dir={tmp_path}").code == 0
    text = (tmp_path / "report.md").read_text().replace("\\", "")
    for said in (f"24 candidates are ranked by {name}", f"Of 24 candidates, ordered by {name}.", f"| ordered by | {score} |"):
        assert said in text


def test_a_merge_takes_the_order_of_its_shards(start: list[str], tmp_path: Path, command: Callable):
    for number, score in ((1, "top1"), (2, "top1"), (2, "cross_entropy")):
        done = command("rank", *start, f"ranking.score={score}", f"ranking.shard={number}/2", f"run_dir={tmp_path}/{score}/{number}")
        assert done.code == 0, done.err
    done = command("merge", f"shards={tmp_path}/top1/*", f"run_dir={tmp_path}/joined")
    assert done.code == 0, done.err
    assert "ordered by top-1" in done.out
    assert json.loads((tmp_path / "joined/ranking/protocol.json").read_text())["ordered_by"] == "top1"
    (tmp_path / "top1/2").rename(tmp_path / "top1/2 as well")
    (tmp_path / "cross_entropy/2").rename(tmp_path / "top1/2")
    (tmp_path / "top1/2 as well").rename(tmp_path / "cross_entropy/2")
    refused = command("merge", f"shards={tmp_path}/top1/*", f"run_dir={tmp_path}/differing")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "/2/ranking: is ordered by cross_entropy, " in refused.err
    assert "give score= to choose" in refused.err
    done = command("merge", f"shards={tmp_path}/top1/*", "score=cross_entropy", f"run_dir={tmp_path}/differing")
    assert done.code == 0, done.err
    assert "ordered by negative cross entropy" in done.out
    assert command("report", f"run_dir={tmp_path}/joined").code == 0
    assert "24 candidates are ranked by top-1" in (tmp_path / "joined/report.md").read_text()


def test_shards_of_an_older_version_say_no_order_and_are_asked_for_one(start: list[str], tmp_path: Path, command: Callable):
    assert command("rank", *start, "ranking.shard=1/1", f"run_dir={tmp_path}/1").code == 0
    path = tmp_path / "1/ranking/protocol.json"
    protocol = json.loads(path.read_text())
    del protocol["ordered_by"], protocol["layers"]
    path.write_text(json.dumps(protocol))
    refused = command("merge", f"shards={tmp_path}/1", f"run_dir={tmp_path}/joined")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "ordered_by: 'None' is not one of top1, cross_entropy, smoothed; give score=" in refused.err
    assert command("merge", f"shards={tmp_path}/1", "score=top1", f"run_dir={tmp_path}/joined").code == 0


def test_a_shards_scores_that_are_another_file_are_refused(start: list[str], tmp_path: Path, command: Callable):
    assert command("rank", *start, "ranking.shard=1/1", f"run_dir={tmp_path}/1").code == 0
    path = tmp_path / "1/ranking/scores.csv"
    path.write_text(path.read_text().replace(",0.", ",0.0", 1))
    refused = command("merge", f"shards={tmp_path}/1", f"run_dir={tmp_path}/joined")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "scores.csv: is not the table that shard.json was written for; rank the shard again" in refused.err
    path.unlink()  # as if it had been killed between the two files
    assert command("rank", *start, "ranking.shard=1/1", f"run_dir={tmp_path}/1").code == 0
    assert command("merge", f"shards={tmp_path}/1", f"run_dir={tmp_path}/joined").code == 0
