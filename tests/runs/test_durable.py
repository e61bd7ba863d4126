"""Files are whole or absent."""

import json
from pathlib import Path

import pytest

from nas_lightning.errors import InputError
from nas_lightning.runs.writing import write_atomically, write_json, write_text


def test_a_written_file_is_whole_and_alone_in_its_new_folder(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "text.txt"
    write_text(path, "größe\n")
    assert path.read_bytes() == "größe\n".encode()
    assert list(path.parent.iterdir()) == [path]


def test_json_comes_back_as_it_was(tmp_path: Path) -> None:
    value = {"b": [1, 2.5, None, True], "a": {"ä": "\n"}}
    write_json(tmp_path / "value.json", value)
    found = json.loads((tmp_path / "value.json").read_text(encoding="utf-8"))
    assert found == value
    assert list(found) == ["b", "a"]
    assert (tmp_path / "value.json").read_text().endswith("}\n")


def test_an_existing_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("a long old text")
    write_text(path, "new")
    assert path.read_text() == "new"


def test_the_old_file_is_there_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("old")

    def write(temporary: Path) -> None:
        assert temporary.parent == path.parent  # a rename is atomic within a file system only
        temporary.write_text("ne")
        assert path.read_text() == "old"
        temporary.write_text("new")

    write_atomically(path, write)
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_writer_that_fails_half_way_leaves_the_old_file_and_no_other(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "text.txt"
    path.write_text("old")

    def write(temporary: Path) -> None:
        temporary.write_text("half")
        raise error

    with pytest.raises(error):
        write_atomically(path, write)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_no_json_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        write_json(tmp_path / "value.json", {"a": object()})
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_error_and_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("old")

    def write(temporary: Path) -> None:
        temporary.write_text("ha")
        raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match=r"text\.txt: cannot be written \(No space left on device\)"):
        write_atomically(path, write)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["file/text.txt", "file/deeper/text.txt", "folder", "x" * 300])
def test_a_place_that_cannot_be_written_is_an_input_error_that_names_it(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("not a folder")
    (tmp_path / "folder" / "full").mkdir(parents=True)
    with pytest.raises(InputError, match=r"cannot be written \(.+\)") as refused:
        write_text(tmp_path / name, "text")
    assert str(tmp_path / name) in str(refused.value)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["file", "folder"]
