"""``nas-search`` with a latency as budget and cost; the times are made up, but for one test."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor, nn

from nas_lightning.commands import measuring, searching
from nas_lightning.data import Digits
from nas_lightning.data.check import describe
from nas_lightning.errors import InputError
from nas_lightning.space import Architecture
from nas_lightning.supernet import Supernet
from nas_lightning.supernet.checkpoint import make_header, save_supernet
from tests.conftest import run_command
from tests.search.problems import SPACE

MADE = ("front.csv", "chosen.json", "latency.json")
SMALL = ["search.evaluations=30", "search.population=10", "search.images=20", "search.finalists=3"]
BOTH = ["search.costs=[latency]", "search.budgets={latency: 70%, batch_latency: 30}", "search.latency_batch=8"]


def instead(supernet: Any, architecture: Architecture, images: int, _: Any) -> dict[str, float]:
    """Made-up milliseconds with noise that is a candidate's own."""
    noise = np.random.default_rng(list(architecture.widths)).uniform(0.8, 1.2)
    time = float((0.5 + 1e-5 * supernet.structure.cost([architecture.widths]).multiply_adds[0]) * images * noise)
    return {"fastest_ms": time, "median_ms": 2 * time, "iqr_ms": 0.1}


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas_lightning.search.latency.FIT", 20)
    monkeypatch.setattr("nas_lightning.search.latency.CHECK", 5)


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "measure_candidate", instead)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    supernet, path = Supernet(SPACE, classes=10, channels=1).eval(), tmp_path_factory.mktemp("weights") / "supernet.safetensors"
    save_supernet(path, supernet, make_header(supernet, describe(Digits(resolution=8))))
    return path


@pytest.fixture(scope="module")
def arguments(checkpoint: Path) -> list[str]:
    return [f"checkpoint={checkpoint}", *SMALL, *BOTH]


@pytest.fixture(scope="module")
def whole(arguments: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a search that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measuring, "measure_candidate", instead)
        patch.setattr("nas_lightning.search.latency.FIT", 20)
        patch.setattr("nas_lightning.search.latency.CHECK", 5)
        done = run_command("search", *arguments, f"run_dir={folder}")
    assert done.code == 0, done.err
    assert max(len(line) for line in done.out.splitlines()[1:] if "/" not in line) <= 80  # paths are of any length
    assert "(predicted)" in done.out
    assert "latency: 1 image a pass on " in done.err
    assert "batch_latency: 8 images a pass on " in done.err
    assert done.err.count("on 5 others: Kendall 0.") == 2
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_chosen_were_measured_and_keep_to_their_budgets(whole: Path):
    content, chosen = (json.loads((whole / f"search/{name}.json").read_text()) for name in ("latency", "chosen"))
    measured = {row["architecture"]: row for row in content["measured"]}
    assert len(measured) > 25
    assert len(chosen) == 3
    for entry in chosen:
        own = {name: figures for name, figures in measured[entry["architecture"]].items() if name != "architecture"}
        assert entry["measured"] == own
        assert own.keys() == entry["budget"].keys() == {"latency", "batch_latency"}
        for name, limit in entry["budget"].items():
            assert own[name]["fastest_ms"] <= limit
            assert entry["cost"][name] <= limit
    front = rows(whole / "search/front.csv")
    assert [float(row["latency"]) for row in front] == sorted(float(row["latency"]) for row in front)
    for row in front:
        known = measured.get(row["architecture"])
        assert row["batch_latency_measured"] == ("" if known is None else str(known["batch_latency"]["fastest_ms"]))
    protocol = json.loads((whole / "search/protocol.json").read_text())
    assert protocol["latency"]["images"] == {"latency": 1, "batch_latency": 8}
    assert protocol["latency"]["threads"] >= 1


def test_the_page_shows_predicted_and_measured_latencies(whole: Path, command: Callable):
    assert command("report", f"run_dir={whole}").code == 0
    text = (whole / "report.md").read_text()
    assert "Kendall's tau with 5 others: 0." in text
    entry = json.loads((whole / "search/chosen.json").read_text())[0]
    (row,) = [line for line in text.splitlines() if f" {entry['architecture']} " in line]
    for value in (entry["cost"]["latency"], entry["measured"]["latency"]["fastest_ms"], entry["measured"]["batch_latency"]["median_ms"]):
        assert f"{value:,.3f}" in row


@pytest.mark.slow
@pytest.mark.parametrize("killed_at", [1, 13, 26])
@pytest.mark.usefixtures("made_up")
def test_a_search_that_is_stopped_while_it_measures_ends_the_same(
    killed_at: int, arguments: list[str], whole: Path, tmp_path: Path, command: Callable, monkeypatch: pytest.MonkeyPatch
):
    calls: list[str] = []

    def struck(*given: Any) -> dict[str, float]:
        if len(calls) == 2 * killed_at:
            raise InputError("stopped by the test")
        calls.append(str(given[2]))
        return instead(*given)

    with monkeypatch.context() as patch:
        patch.setattr(searching, "measured_ends", lambda *_: {})
        patch.setattr(measuring, "measure_candidate", struck)
        assert command("search", *arguments, f"run_dir={tmp_path}").code != 0
        kept = json.loads((tmp_path / "search/latency.json").read_text())["measured"]
    again: list[str] = []
    monkeypatch.setattr(measuring, "measure_candidate", lambda *given: again.append(str(given[1])) or instead(*given))
    done = command("search", *arguments, f"run_dir={tmp_path}")
    assert done.code == 0, done.err
    assert not {row["architecture"] for row in kept} & {*again}
    for name in MADE:
        assert (tmp_path / "search" / name).read_bytes() == (whole / "search" / name).read_bytes(), name


def test_a_finished_search_measures_nothing_again(arguments: list[str], whole: Path, command: Callable, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(measuring, "measure_candidate", None)
    before = [(whole / "search" / name).read_bytes() for name in MADE]
    done = command("search", *arguments, f"run_dir={whole}")
    assert done.code == 0, done.err
    assert [(whole / "search" / name).read_bytes() for name in MADE] == before


def test_latencies_of_another_device_are_refused(arguments: list[str], whole: Path, command: Callable, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(measuring, "_processor", lambda: "another processor")
    done = command("search", *arguments, f"run_dir={whole}")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "search/latency.json: device was " in done.err
    assert done.err.endswith(", is 'another processor'; other latencies do not compare; give another run_dir\n")


def test_random_ones_of_a_latency_budget_are_trained_beside_the_chosen(
    whole: Path, tmp_path: Path, command: Callable, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("nas_lightning.standalone.truth.train_alone", lambda architecture, *_: sum(architecture.widths) / 1000)
    done = command("standalone", "choose=search", f"scores={whole}/search/chosen.json", f"run_dir={tmp_path}")
    assert done.code == 0, done.err
    content = json.loads((tmp_path / "standalone/winners.json").read_text())
    assert (content["best"]["n"], content["random"]["n"]) == (3, 3)


def test_a_budget_of_a_latency_needs_the_times_beside_it(whole: Path, tmp_path: Path, command: Callable):
    copied = tmp_path / "search"
    shutil.copytree(whole / "search", copied)
    (copied / "latency.json").unlink()
    done = command("standalone", "choose=search", f"scores={copied}/chosen.json", f"run_dir={tmp_path}/run")
    says = f"error: scores: {copied}/chosen.json has a budget of latency, but no latency.json of times beside it; copy the whole folder\n"
    assert done.code == 2
    assert done.err.endswith(says)


@pytest.mark.slow
def test_what_is_measured_is_the_candidate_as_exported(
    checkpoint: Path, tmp_path: Path, command: Callable, monkeypatch: pytest.MonkeyPatch
):
    networks: list[tuple[nn.Module, tuple[int, ...]]] = []
    true = measuring.latency

    def seen(network: nn.Module, images: Tensor) -> dict[str, Any]:
        networks.append((network, tuple(images.shape)))
        return true(network, images)

    monkeypatch.setattr(measuring, "latency", seen)
    monkeypatch.setattr("nas_lightning.export.latency.SECONDS", 0.002)
    done = command("search", f"checkpoint={checkpoint}", *SMALL, "search.costs=[latency]", f"run_dir={tmp_path}")
    assert done.code == 0, done.err
    assert 25 <= len(networks) <= 28  # the spread, and finalists that were not among it
    for network, shape in networks:
        assert shape == (1, 1, 8, 8)
        norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
        assert norms
        assert not any(module.training for module in network.modules())
        assert all(norm.running_mean is not None for norm in norms)
    largest = json.loads((tmp_path / "search/latency.json").read_text())["measured"][1]["latency"]
    assert 0 < largest["fastest_ms"] <= largest["median_ms"]
