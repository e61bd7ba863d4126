"""What is read of a user's file is bounded, never waits, and is refused in one line."""

import csv
import io
import itertools
import json
import os
import socket
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from nas_lightning.errors import LONGEST_LINE, InputError, bounded, cut, shorten
from nas_lightning.runs.reading import plain_cell, read_bytes, read_entries, read_json, read_rows, read_text, read_yaml, safe_cell

READERS: dict[str, Callable[[Path], Any]] = {
    "text": read_text,
    "json": read_json,
    "entries": read_entries,
    "yaml": read_yaml,
    "csv": lambda path: list(read_rows(path, ("a",))),
}
BOM = b"\xef\xbb\xbf"


def refusal(read: Callable[[Path], Any], path: Path) -> str:
    with pytest.raises(InputError) as refused:
        read(path)
    text = str(refused.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    assert len(text) <= LONGEST_LINE
    return text


def make_odd(kind: str, path: Path) -> Path:
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(str(path))
    elif kind == "folder":
        path.mkdir()
    elif kind == "a link to a device":
        path.symlink_to("/dev/zero")
    else:
        return Path(kind)
    return path


@pytest.mark.parametrize("kind", ["fifo", "socket", "folder", "a link to a device", "/dev/zero", "/dev/tty", "a\0b"])
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_regular_file_is_refused_at_once(reader: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)  # a socket's path may have 108 characters
    assert "cannot be read" in refusal(READERS[reader], make_odd(kind, Path("odd")))


@pytest.mark.parametrize("reader", READERS)
def test_a_file_larger_than_the_limit_is_refused_unread(reader: str, tmp_path: Path):
    with (tmp_path / "large").open("wb") as file:
        file.truncate(2**40)  # sparse
    assert "MiB; may have" in refusal(READERS[reader], tmp_path / "large")
    (tmp_path / "a").write_bytes(bytes(3 * 2**19))
    assert "has 1.5 MiB; may have 1 MiB" in refusal(lambda path: read_bytes(path, 1), tmp_path / "a")
    assert len(read_bytes(tmp_path / "a", float("inf"))) == 3 * 2**19


@pytest.mark.parametrize(
    ("reader", "content", "value"),
    [
        ("text", b"\xc3\xa4\r\nb\rc", "ä\nb\nc"),
        ("json", b'{"a": 1}', {"a": 1}),
        ("yaml", b"a: 1\n", {"a": 1}),
        ("csv", b"a,b\r\n1,2\r\n", [(2, {"a": "1", "b": "2"})]),
    ],
)
def test_a_byte_order_mark_is_read_over(reader: str, content: bytes, value: Any, tmp_path: Path):
    for name, start in (("plain", b""), ("marked", BOM)):
        (tmp_path / name).write_bytes(start + content)
        assert READERS[reader](tmp_path / name) == value


LAUGHS = "a: &a [1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 8)}]\n" for old, new in itertools.pairwise("abcdefghijk")
)
ODD_YAML = {
    "a bomb of aliases": (LAUGHS, "line 2: an alias"),
    "an alias of a scalar": ("a: &x 1\nb: *x\n", "line 2: an alias"),
    "an alias in a merge": ("a: &x {b: 1}\nc: {<<: *x}\n", "line 2: an alias"),
    "an alias of itself": ("a: &x [*x]\n", "line 1: an alias"),
    "brackets without end": ("[" * 5_000, "is not YAML"),
    "a Python object": ("a: !!python/object/apply:os.system [true]\n", "is not YAML"),
    "a long word": ("a: [" + "x" * 100_000, "is not YAML"),
    "a list": ("[1]", "must be a mapping"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ODD_YAML)
def test_yaml_that_this_project_does_not_write_is_refused(name: str, tmp_path: Path):
    text, holds = ODD_YAML[name]
    (tmp_path / "config.yaml").write_text(text)
    assert holds in refusal(read_yaml, tmp_path / "config.yaml")


WORDS = st.text(max_size=6).filter(str.isprintable)
PLAIN = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | WORDS
TREES = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3), max_leaves=8)


@pytest.mark.slow
@given(st.dictionaries(WORDS, TREES, max_size=3))
def test_a_config_is_read_as_it_was_written_and_never_resolved(tmp_path_factory: pytest.TempPathFactory, content: dict[str, Any]):
    path = tmp_path_factory.getbasetemp() / "written.yaml"
    written = {"all": [content, content], "home": "${oc.env:HOME}"}
    path.write_text(OmegaConf.to_yaml(OmegaConf.create(written)), encoding="utf-8")
    assert read_yaml(path) == written


@pytest.mark.parametrize(
    ("content", "holds"),
    [
        (b"b\n1\n", "has no column a"),
        (b"", "has no column a"),
        (b"a,a\n1,2\n", "two columns of one name"),
        (b"a,b\n1\n", "line 2: is not a row of a,b"),
        (b"a\n1\n2,3\n", "line 3: is not a row of a"),
        (b"a\n\xff\n", "is not a CSV table"),
        (b"a\n" + b"x" * 200_000, "is not a CSV table"),
        (b"a," + b",".join(b"%d" % number for number in range(50_000)) + b"\n" + b"1\n" * 1000, "line 2: is not a row"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_table_that_is_none_is_refused_at_its_first_wrong_line(content: bytes, holds: str, tmp_path: Path):
    (tmp_path / "table.csv").write_bytes(content)
    assert holds in refusal(READERS["csv"], tmp_path / "table.csv")


def test_a_table_of_too_many_rows_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("nas_lightning.runs.reading.MAX_TABLE_ROWS", 10)
    (tmp_path / "table.csv").write_text("a\n" + "1\n" * 10)
    assert len(READERS["csv"](tmp_path / "table.csv")) == 10
    (tmp_path / "table.csv").write_text("a\n" + "1\n" * 11)
    assert "more than 10 rows" in refusal(READERS["csv"], tmp_path / "table.csv")


def test_rows_are_read_one_by_one(tmp_path: Path):
    (tmp_path / "table.csv").write_text("a,b\n" + "12345678,12345678\n" * 50_000)
    tracemalloc.start()
    count = sum(1 for _ in read_rows(tmp_path / "table.csv", ("a",)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 50_000
    assert peak < 2 * (tmp_path / "table.csv").stat().st_size


FORMULAS = ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "'=1", "''+1", "'", "'a", "a=1", "", "ä"]


@pytest.mark.parametrize("text", FORMULAS)
def test_no_spreadsheet_takes_a_written_text_for_a_formula(text: str):
    assert not safe_cell(text).startswith(("=", "+", "-", "@", "\t", "\r"))
    assert plain_cell(safe_cell(text)) == text


@given(st.text(alphabet=st.sampled_from("'=+-@\t\ra1"), max_size=6) | st.text(max_size=6))
def test_every_text_comes_back_from_a_table(text: str):
    assert plain_cell(safe_cell(text)) == text
    written = io.StringIO()
    csv.writer(written).writerow([safe_cell(text)])
    assert not written.getvalue().lstrip('"').startswith(("=", "+", "-", "@", "\t", "\r=")) or not text


def test_an_error_quotes_of_a_foreign_file_no_more_than_a_line():
    assert bounded("x" * LONGEST_LINE) == "x" * LONGEST_LINE
    line = str(InputError(f"a.json: {'x' * 10**6}; give another"))
    assert len(line) == LONGEST_LINE
    assert (line[:10], line[-14:]) == ("a.json: xx", "; give another")
    assert cut("x" * 81) == "x" * 77 + "..."
    bomb: Any = []
    for _ in range(100):
        bomb = [bomb, bomb]
    for value in (bomb, {"a": bomb}, "x" * 10**6, 10**5000, object(), None, True, 1.5):
        assert len(shorten(value)) <= 82
    assert json.dumps(str(InputError("a"))) == '"a"'
