"""No file outlives a change of what it was made from, wherever a kill strikes."""

from pathlib import Path

import pytest

from nas_lightning.errors import InputError
from nas_lightning.runs import made_from
from nas_lightning.runs.made_from import KEY, changed_source, hashes, write_source


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A source, and what was made from it."""
    source, derived = tmp_path / "source", tmp_path / "derived"
    source.write_text("old")
    derived.write_text("of old")
    return source, derived


def test_a_source_that_changes_takes_along_what_was_made_from_it(files: tuple[Path, Path]):
    source, derived = files
    assert write_source(source, "old", [derived]) == []
    assert derived.read_text() == "of old"
    assert write_source(source, "new", [derived, source.with_name("none")]) == [derived]
    assert not derived.exists()
    assert source.read_text() == "new"


def test_a_kill_before_the_source_is_written_leaves_nothing_stale(files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch):
    source, derived = files

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(made_from, "write_text", killed)
    with pytest.raises(KeyboardInterrupt):
        write_source(source, "new", [derived])
    assert source.read_text() == "old"
    assert not derived.exists()


def test_what_outlived_its_source_goes_when_that_is_written_again(files: tuple[Path, Path]):
    source, derived = files
    source.unlink()
    assert write_source(source, "old", [derived]) == [derived]


def test_a_source_that_is_another_file_or_is_gone_is_named(files: tuple[Path, Path]):
    source, other = files
    content = {KEY: hashes({"source": source, "other": other})}
    sources = {"source": source}
    assert changed_source(source, content, sources, {"other": other, "third": other}) is None
    other.write_text("changed")
    assert changed_source(source, content, sources, {"other": other}) == "other"
    assert changed_source(source, content, sources, {}) is None
    source.unlink()
    assert changed_source(source, content, sources, {"other": other}) == "source"
    assert changed_source(source, {KEY: {}}, {"other": other}, {}) == "other"
    assert changed_source(source, {"n": 3}, sources, {}) is None  # an older version's


@pytest.mark.parametrize("kept", [None, [], "ab", {"source": 3}, {"source": None}])
def test_what_names_no_sources_is_an_input_error(kept: object, files: tuple[Path, Path]):
    with pytest.raises(InputError, match=r"derived: made_from: must be an object of texts"):
        changed_source(files[1], {KEY: kept}, {"source": files[0]}, {})
