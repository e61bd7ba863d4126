"""The time of a run is the sum over its sessions, however each ended."""

import json
import time
from pathlib import Path

import pytest

from nas_lightning.runs import sessions
from nas_lightning.runs.sessions import has_every_time, timed_session
from nas_lightning.runs.writing import write_json


def record(folder: Path) -> dict:
    return json.loads((folder / "environment.json").read_text())


def continued(folder: Path) -> None:
    """As ``claim_config`` does where a run is resumed."""
    content = record(folder)
    write_json(folder / "environment.json", {**content, "continued": [*content.get("continued", []), {"command": ["again"]}]})


def test_sessions_add_up_and_each_keeps_its_own(tmp_path: Path):
    write_json(tmp_path / "environment.json", {"command": ["train.py"]})
    with pytest.raises(KeyboardInterrupt), timed_session(tmp_path, time.monotonic() - 100):
        raise KeyboardInterrupt
    assert record(tmp_path) == {"command": ["train.py"], "seconds": pytest.approx(100, abs=5)}
    continued(tmp_path)
    with timed_session(tmp_path, time.monotonic() - 50) as seconds:
        assert seconds() == pytest.approx(150, abs=10)
    assert [one["seconds"] for one in record(tmp_path)["continued"]] == [pytest.approx(50, abs=5)]
    assert has_every_time(record(tmp_path))


def test_a_session_that_is_killed_has_its_time_on_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sessions, "EVERY", 0.01)
    write_json(tmp_path / "environment.json", {})
    with timed_session(tmp_path, time.monotonic() - 100):
        until = time.monotonic() + 60
        while not record(tmp_path) and time.monotonic() < until:
            time.sleep(0.01)
        assert record(tmp_path)["seconds"] >= 100


def test_a_run_that_an_older_version_began_lacks_a_time(tmp_path: Path):
    write_json(tmp_path / "environment.json", {"command": ["train.py"]})
    assert has_every_time(record(tmp_path))  # its one process is what finished.json tells
    continued(tmp_path)
    with timed_session(tmp_path, time.monotonic() - 50) as seconds:
        assert seconds() == pytest.approx(50, abs=5)
    assert not has_every_time(record(tmp_path))


def test_another_process_of_the_launch_keeps_no_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    with timed_session(tmp_path, 0.0) as seconds:
        assert seconds() == 0
    assert not list(tmp_path.iterdir())
