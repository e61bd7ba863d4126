"""Output that goes away takes words with it, not work: files are whole, and the exit code is that of the work."""

import contextlib
import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import os, sys, subprocess
from nas_lightning.devices.process import outlive_output
outlive_output()
outlive_output()  # as a launcher's worker does again
for number in range(3000):
    print("日本", number)
    print("日本", number, file=sys.stderr)
with open("work.txt", "w") as work:
    subprocess.run([sys.executable, "-c", "print('words'); import sys; print('words', file=sys.stderr)"])
    print("done", file=work)
sys.exit(7)
"""
WAYS = {  # how a shell starts it
    "a reader that leaves": "{ %s; echo $? > code; } | head -1",
    "both into a reader that leaves": "{ %s; echo $? > code; } 2>&1 | head -1",
    "no stdout": "%s >&-; echo $? > code",
    "no stderr": "%s 2>&-; echo $? > code",
    "no stream at all": "%s <&- >&- 2>&-; echo $? > code",
    "a full disk": "%s > /dev/full 2>&1; echo $? > code",
}


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **more}


@pytest.mark.parametrize("way", WAYS)
def test_a_program_works_to_its_end_without_its_output(way: str, tmp_path: Path):
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    line = WAYS[way] % f"{sys.executable} program.py"
    subprocess.run(line, shell=True, cwd=tmp_path, env=environment(), capture_output=True, check=False, timeout=100)
    assert (tmp_path / "work.txt").read_text() == "done\n"
    assert (tmp_path / "code").read_text() == "7\n"


def test_a_line_reaches_a_pipe_at_once():
    program = (
        "import sys; from nas_lightning.devices.process import outlive_output; outlive_output(); print('run folder: R'); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", program], env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        deadline = time.monotonic() + 60
        while (line := process.stdout.readline()) == b"" and time.monotonic() < deadline:
            time.sleep(0.05)
        process.communicate(b"\n")
    assert line == b"run folder: R\n"


@pytest.mark.parametrize("encoding", ["cp1252", "ascii:strict", "latin-1"])
def test_letters_that_the_encoding_lacks_are_written_as_numbers(encoding: str, tmp_path: Path):
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, env=environment(PYTHONIOENCODING=encoding), capture_output=True, check=False
    )
    assert done.returncode == 7
    assert done.stdout.splitlines()[1] == rb"\u65e5\u672c 1"


def test_a_reader_that_is_slow_receives_all_of_it(tmp_path: Path):
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)  # as some terminals and Node.js leave it: a write that would have to wait fails
    lines = []
    command = [sys.executable, "program.py"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=theirs, stderr=subprocess.DEVNULL) as program:
        os.close(theirs)
        with open(ours, "rb", buffering=0) as reader:
            while block := reader.read(500):
                lines.append(block)
                time.sleep(0.001)
    assert program.returncode == 7
    assert len(b"".join(lines).splitlines()) == 3001


def test_a_stream_of_a_notebook_or_a_test_is_left_alone():
    from nas_lightning.devices.process import outlive_output

    stream = io.StringIO()
    with contextlib.redirect_stdout(stream):
        outlive_output()
        print("here")
    assert stream.getvalue() == "here\n"


def test_help_may_be_read_in_part():
    done = subprocess.run(
        f"{{ {sys.executable} train.py --help; echo $? >&2; }} | head -1",
        shell=True, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr == "0\n"


def test_a_comparison_is_written_before_it_is_printed(
    micro: Path, other_seed: Path, command: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("nas_lightning.commands.compare.print", _no_words, raising=False)
    tables = (f"first={micro}/ranking/scores.csv", f"second={other_seed}/ranking/scores.csv")
    known = f"known_accuracies={micro}/standalone/known_accuracies.json"
    with pytest.raises(NoTerminal):
        command("compare", *tables, known, "space=resnet_tiny", f"run_dir={tmp_path}")
    assert json.loads((tmp_path / "agreement.json").read_text())["n"] == 24
    assert (tmp_path / "comparison.json").is_file()


def test_a_ranking_is_written_before_it_is_printed(micro: Path, command: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("nas_lightning.commands.write_ranking.report", _no_words)
    listed, known = f"{micro}/ranking/submission.json", f"{micro}/standalone/known_accuracies.json"
    with pytest.raises(NoTerminal):
        command(
            "rank",
            f"checkpoint={micro}/supernet.safetensors",
            f"ranking.list={listed}",
            f"ranking.known_accuracies={known}",
            "ranking.images=100",
            f"run_dir={tmp_path}",
        )
    written = {path.name for path in (tmp_path / "ranking").iterdir()}
    assert {"scores.csv", "submission.json", "agreement.json", "known_accuracies.json"} <= written


class NoTerminal(Exception):
    pass


def _no_words(*_: object, **__: object) -> None:
    raise NoTerminal


RUN = "train.py experiment=micro stages.pretrain.epochs=1 standalone.count=3 standalone.epochs=1 run_dir={}/run"


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_a_run_is_finished_without_its_output(way: str, tmp_path: Path):
    line = WAYS[way].replace("> code", f"> {tmp_path}/code") % f"{sys.executable} {RUN.format(tmp_path)}"
    subprocess.run(line, shell=True, cwd=ROOT, env=environment(), capture_output=True, check=False, timeout=600)
    assert (tmp_path / "code").read_text() == "0\n"
    assert (tmp_path / "run" / "finished.json").is_file()
    assert (tmp_path / "run" / "ranking" / "agreement.json").is_file()


@pytest.mark.slow
def test_names_in_japanese_are_ranked_on_a_western_terminal(micro: Path, tmp_path: Path):
    entries = json.loads((micro / "standalone" / "known_accuracies.json").read_text())
    listed = tmp_path / "名前.json"
    listed.write_text(json.dumps({f"候補{number}": entry for number, entry in enumerate(entries.values())}), encoding="utf-8")
    command = [sys.executable, "-m", "nas_lightning.commands.rank", f"checkpoint={micro}/supernet.safetensors", f"ranking.list={listed}"]
    done = subprocess.run(
        [*command, f"ranking.known_accuracies={listed}", "ranking.images=100", f"run_dir={tmp_path}/run"],
        env=environment(PYTHONIOENCODING="cp1252"), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "\\u5019\\u88dc" in done.stdout
    assert (tmp_path / "run" / "ranking" / "agreement.json").is_file()


@pytest.mark.slow
def test_a_terminal_shows_the_run_folder_before_the_imports(tmp_path: Path):
    """A run that never begins shows it too, and then its mistake; nothing is made."""
    command = [sys.executable, "-X", "importtime", "train.py", "experiment=micro", "ranking.images=99999", f"run_dir={tmp_path}/run"]
    ours, theirs = os.openpty()
    with subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=theirs, stderr=theirs):
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # Linux reports the end of a terminal so
            while part := os.read(ours, 2**16):
                shown += part
    os.close(ours)
    text = re.sub(" +", " ", shown.decode())
    assert text.index(f"run folder: {tmp_path}/run") < text.index("| torch\r\n") < text.index("error: ranking.images: 99999")
    assert not (tmp_path / "run").exists()
