"""What is shown of a work: lines where there is no terminal, a bar where there is one, and nothing of one run of many."""

import io

import pytest

from nas_lightning.devices import progress
from nas_lightning.devices.progress import Progress, duration, one_of_many, report


class Terminal(io.StringIO):
    """A stream that passes for a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that the test sets."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_without_a_terminal_a_line_a_minute_says_what_is_left(clock: list[float], capsys: pytest.CaptureFixture[str]):
    work = Progress("stage 1 of 2 (a)", total=110, done=10, unit="steps")
    for step in range(1, 91):
        clock[0] = 2.0 * step
        work.advance(note=lambda step=step: f"loss {step}")
    work.close()
    # After 20, 80 and 140 seconds; resumed at 10, so 2 seconds a step.
    assert capsys.readouterr().err.splitlines() == [
        "stage 1 of 2 (a): 20 of 110 steps, 3.0 minutes left, loss 10",
        "stage 1 of 2 (a): 50 of 110 steps, 2.0 minutes left, loss 40",
        "stage 1 of 2 (a): 80 of 110 steps, 60 s left, loss 70",
    ]


def test_on_a_terminal_there_is_a_bar_and_no_line(monkeypatch: pytest.MonkeyPatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    work = Progress("ranking", total=4, done=0, unit="candidates")
    for _ in range(4):
        work.advance()
    work.close()
    assert "ranking |" in terminal.getvalue()
    assert "\n" not in terminal.getvalue()


def test_what_another_process_shows_is_not_shown_twice(clock: list[float], monkeypatch: pytest.MonkeyPatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    work = Progress("ranking", total=4, done=0, unit="candidates", is_shown=False)
    clock[0] = 100.0
    work.advance()
    work.close()
    assert terminal.getvalue() == ""


def test_one_run_of_many_reports_nothing(capsys: pytest.CaptureFixture[str]):
    with one_of_many():
        report("within")
    report("after")
    report("the result", to_stdout=True)
    assert capsys.readouterr() == ("the result\n", "after\n")


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (119, "119 s"), (150, "2.5 minutes"), (7200, "2.0 hours"), (2e5, "2.3 days")])
def test_a_duration_has_a_unit_that_fits(seconds: float, text: str):
    assert duration(seconds) == text
