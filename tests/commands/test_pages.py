"""A run that ranks draws its own page at its end; nothing of the page costs a ranking."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import nas_lightning.report
from nas_lightning.commands.report import write_page
from nas_lightning.report import write_report


@pytest.fixture
def rank(micro: Path) -> list[str]:
    """Arguments of a small ranking."""
    listed = f"ranking.list={micro}/ranking/submission.json"
    return [f"checkpoint={micro}/supernet.safetensors", listed, "ranking.images=100", "ranking.fitted_on=30"]


@pytest.mark.slow
def test_a_run_leaves_the_page_that_nas_report_makes(micro: Path, tmp_path: Path):
    shutil.copytree(micro, tmp_path / "run")
    for path in write_report(tmp_path / "run", points=3000)[:2]:
        assert path.read_bytes() == (micro / path.name).read_bytes()
    assert list((micro / "report").glob("*.png"))


@pytest.mark.slow
def test_a_ranking_has_its_page_once_all_shards_are_ranked(rank: list[str], command: Callable, tmp_path: Path):
    for number in (1, 2):
        assert command("rank", *rank, f"ranking.shard={number}/2", f"run_dir={tmp_path}", pages=True).code == 0
        assert not list(tmp_path.glob("report*"))
    assert command("rank", *rank, f"run_dir={tmp_path}", pages=True).code == 0
    assert (tmp_path / "report.html").is_file()
    assert "24 candidates are ranked by predicted" in (tmp_path / "report.md").read_text()


def test_a_page_that_fails_is_a_warning_and_the_ranking_stays(
    rank: list[str], command: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: Any) -> None:
        raise RuntimeError("no\nfonts")

    monkeypatch.setattr(nas_lightning.report, "write_report", fail)
    done = command("rank", *rank, f"run_dir={tmp_path}", pages=True)
    assert done.code == 0
    assert done.err.splitlines()[-1] == "warning: no page was written (RuntimeError: no fonts)"
    assert (tmp_path / "ranking/scores.csv").is_file()


@pytest.mark.slow
def test_a_file_of_ones_own_stays(micro: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    shutil.copytree(micro, tmp_path / "run")
    page = tmp_path / "run/report.html"
    page.write_text("mine")
    write_page(tmp_path / "run")
    assert page.read_text() == "mine"
    assert capsys.readouterr().err == f"warning: no page was written ({page} is not a page of nas-report, and stays)\n"
    write_report(tmp_path / "run", points=3000)
    assert page.read_bytes() == (micro / "report.html").read_bytes()


def test_only_the_first_process_of_a_launch_draws(micro: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shutil.copytree(micro / "ranking", tmp_path / "ranking")
    monkeypatch.setenv("LOCAL_RANK", "1")
    write_page(tmp_path)
    assert not list(tmp_path.glob("report*"))
