"""Which score orders: cross entropy everywhere but in the challenge's protocol; the choice stands in the files and above the tables."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from nas_lightning.commands.configs import RankConfig, RankingConfig, TrainConfig
from nas_lightning.config.read import read
from nas_lightning.console.start import conf_folder
from nas_lightning.scoring.table import LABELS
from tests.composing import composed

EXPERIMENTS = sorted(path.stem for path in conf_folder().glob("experiment/*.yaml"))


def config_of(kind: type, name: str, *overrides: str) -> object:
    return read(kind, composed(name, "run_dir=out", *overrides))


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_an_experiment_orders_by_predicted_scores_but_for_the_challenges(experiment: str):
    expected = "top1" if experiment in ("official_baseline", "track1") else "predicted"
    assert config_of(TrainConfig, "config", f"experiment={experiment}").ranking.score == expected


@pytest.mark.slow
def test_the_commands_order_by_predicted_scores_unless_asked():
    assert read(RankingConfig, {}).score == "predicted"
    for overrides, score in (((), "predicted"), (("ranking=sample",), "predicted"), (("ranking=official",), "top1")):
        assert config_of(RankConfig, "rank", "checkpoint=x", *overrides).ranking.score == score
        assert config_of(TrainConfig, "config", "experiment=quickstart", *overrides).ranking.score == score
    assert config_of(RankConfig, "rank", "checkpoint=x", "ranking=official", "ranking.score=cross_entropy").ranking.score == "cross_entropy"


def test_official_differs_from_the_default_by_the_score_alone():
    default, official = (vars(config_of(RankConfig, "rank", "checkpoint=x", f"ranking={name}").ranking) for name in ("whole", "official"))
    assert {key for key in default if default[key] != official[key]} == {"score"}


@pytest.fixture
def start(micro: Path) -> list[str]:
    return [f"checkpoint={micro}/supernet.safetensors", f"ranking.list={micro}/ranking/submission.json", "ranking.images=60"]


@pytest.mark.slow
@pytest.mark.parametrize(("more", "score"), [([], "predicted"), (["ranking=official"], "top1")])
def test_the_order_stands_in_protocol_tables_and_report(
    more: list[str], score: str, start: list[str], micro: Path, tmp_path: Path, command: Callable
):
    known = f"ranking.known_accuracies={micro}/standalone/known_accuracies.json"
    done = command("rank", *start, *more, known, "ranking.resamples=20", f"run_dir={tmp_path}")
    assert done.code == 0, done.err
    assert json.loads((tmp_path / "ranking/protocol.json").read_text())["ordered_by"] == score
    name = LABELS[score]
    assert f"\nThe best of 24 candidates, ordered by {name}\n" in done.out
    assert f"\n{name} " in done.out.split("resamples, seed 0")[1]
    assert command("report", f"run_dir={tmp_path}").code == 0
    text = (tmp_path / "report.md").read_text().replace("\\", "")
    for said in (
        f"24 candidates are ranked by {name}",
        f"The first 24 of 24 candidates (all were scored), ordered by {name}.",
        f"| ordered by | {score} |",
    ):
        assert said in text
