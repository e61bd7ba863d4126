"""Checkpoints of both kinds: what is read back, and what is refused without running it."""

import io
import json
import pickle
import resource
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from nas_lightning.errors import InputError
from nas_lightning.space import SearchSpace
from nas_lightning.supernet import Supernet
from nas_lightning.supernet.checkpoint import FORMAT, HEADER_KEY, load_supernet, make_header, read_header, save_supernet
from tests.supernet.refusal import refusal

Save = Callable[[Path, Supernet, dict[str, Any]], None]
DATA = {"name": "digits", "arguments": {"split_seed": 0}, "mean": [0.5], "std": [0.25]}


def save_lightning(path: Path, supernet: Supernet, header: dict[str, Any]) -> None:
    """As a LightningModule's checkpoint: weights below ``supernet.``, others beside them."""
    weights = {f"supernet.{name}": tensor for name, tensor in supernet.state_dict().items()}
    torch.save({"state_dict": {**weights, "accuracy.total": torch.zeros(1)}, "global_step": 3, HEADER_KEY: header}, path)


BOTH = [pytest.param(save_supernet, "supernet.safetensors", id="safetensors"), pytest.param(save_lightning, "last.ckpt", id="lightning")]


@pytest.fixture
def supernet(tiny: SearchSpace) -> Supernet:
    return Supernet(tiny, classes=5, channels=1, shortcuts="where_needed", norm="running", seed=7)


@pytest.mark.parametrize(("save", "name"), BOTH)
@pytest.mark.parametrize("shortcuts", ["always", "where_needed"])
@pytest.mark.parametrize("norm", ["batch", "running"])
def test_weights_and_header_come_back_as_they_were_saved(
    track1: SearchSpace, tmp_path: Path, save: Save, name: str, shortcuts: str, norm: str
) -> None:
    supernet = Supernet(track1, 5, 3, shortcuts, norm, seed=3)
    images = torch.randn(4, 3, 8, 8)
    supernet(images, track1.largest)  # moves running statistics
    header = make_header(supernet, DATA)
    save(tmp_path / name, supernet, header)
    loaded, found = load_supernet(tmp_path / name)
    assert found == header == read_header(tmp_path / name)
    assert loaded.header() == supernet.header()
    assert not loaded.training
    assert list(loaded.state_dict()) == list(supernet.state_dict())
    for key, tensor in supernet.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], tensor)
    assert torch.equal(loaded(images, track1.smallest), supernet.eval()(images, track1.smallest))


def test_the_header_is_plain_json_with_all_that_the_weights_need(supernet: Supernet) -> None:
    header = make_header(supernet, DATA)
    assert json.loads(json.dumps(header)) == header
    assert header == {
        "format": FORMAT,
        "supernet": {
            "space": {
                "name": "resnet_tiny",
                "blocks": [1, 1, 1],
                "max_widths": [8, 12, 16],
                "width_step": 2,
                "resolution": 8,
                "trailing_entries": 0,
            },
            "classes": 5,
            "channels": 1,
            "shortcuts": "where_needed",
            "norm": "running",
        },
        "data": DATA,
    }


def test_a_safetensors_file_can_be_read_without_the_package(supernet: Supernet, tmp_path: Path) -> None:
    path = tmp_path / "supernet.safetensors"
    save_supernet(path, supernet, make_header(supernet, DATA))
    with safe_open(path, framework="pt") as file:
        assert json.loads(file.metadata()[HEADER_KEY]) == make_header(supernet, DATA)
    assert set(load_file(path)) == set(supernet.state_dict())
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(("save", "name"), BOTH)
def test_a_truncated_file_is_refused_wherever_it_ends(supernet: Supernet, tmp_path: Path, save: Save, name: str) -> None:
    path = tmp_path / name
    save(path, supernet, make_header(supernet, DATA))
    whole = path.read_bytes()
    for length in (0, 1, 7, 8, 9, 100, 1000, len(whole) // 2, len(whole) - 100, len(whole) - 1):
        path.write_bytes(whole[:length])
        refusal(path)


@pytest.mark.parametrize("name", ["a.safetensors", "a.ckpt"])
@pytest.mark.parametrize(
    "content",
    [
        b"hello\n",
        b"{}",
        b"\x89PNG\r\n\x1a\n" + b"\0" * 64,
        b"PK\x03\x04" + b"\0" * 64,
        b"\0" * 1000,
        b"\xff" * 1000,
        # Pickles that are broken in ways that make torch.load raise other errors than UnpicklingError.
        b"0.",
        b"\x80\x02h\xb5.",
        b"\x80\x02a.",
        b"\x80\x02}u.",
        b"\x80\x02G\x00\x00.",
        b"\x80\x02K\x01K\x02s.",
        b"\x80\x08N.",
        b"\x80\x71N.",
    ],
    ids=lambda value: repr(value[:12]),
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    refusal(tmp_path / name)


def test_a_damaged_checkpoint_is_read_or_refused_without_traceback(supernet: Supernet, tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    save_lightning(path, supernet, make_header(supernet, DATA))
    whole = path.read_bytes()
    start = whole.index(b"\x80\x02")
    rng = torch.Generator().manual_seed(0)
    for _ in range(200):
        place, value = torch.randint(start, start + 4000, (1,), generator=rng), torch.randint(256, (1,), generator=rng)
        damaged = bytearray(whole)
        damaged[int(place)] = int(value)
        path.write_bytes(damaged)
        try:
            load_supernet(path)
        except InputError as error:
            assert "\n" not in str(error)  # noqa: PT017 (a byte may also be one that does no harm)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert "is not a file" in refusal(tmp_path / "absent.ckpt")
    assert "is not a file" in refusal(tmp_path)


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.path,)


def plain_pickle(value: Any) -> bytes:
    return pickle.dumps(value)


def torch_zip(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["bomb.ckpt", "bomb.safetensors", "bomb.pt"])
@pytest.mark.parametrize("form", [plain_pickle, torch_zip])
@pytest.mark.parametrize("place", ["alone", "as header", "among the weights"])
def test_a_pickle_that_runs_code_is_refused_and_nothing_runs(
    supernet: Supernet, tmp_path: Path, name: str, form: Callable[[Any], bytes], place: str
) -> None:
    mark = tmp_path / "code ran"
    bomb = Bomb(mark)
    content = {
        "alone": bomb,
        "as header": {"state_dict": {}, HEADER_KEY: bomb},
        "among the weights": {"state_dict": {"supernet.stem.conv.full.weight": bomb}, HEADER_KEY: make_header(supernet, DATA)},
    }[place]
    (tmp_path / name).write_bytes(form(content))
    refusal(tmp_path / name)
    assert not mark.exists()
    if form is plain_pickle:  # the bomb is one: this is what a careless reader would do
        pickle.loads((tmp_path / name).read_bytes())
        assert mark.exists()


@pytest.mark.parametrize(("save", "name"), BOTH)
@pytest.mark.parametrize(
    "header",
    [
        None,
        [],
        "supernet",
        {},
        {"format": FORMAT + 1},
        {"format": FORMAT},
        {"format": FORMAT, "supernet": None},
        {"format": FORMAT, "supernet": {}},
        {"format": FORMAT, "supernet": {"space": {"name": "x"}, "classes": 5}},
        {"format": FORMAT, "supernet": {"space": None, "classes": 5}},
        {"format": FORMAT, "supernet": ["space"]},
    ],
    ids=str,
)
def test_weights_with_another_header_are_refused(supernet: Supernet, tmp_path: Path, save: Save, name: str, header: Any) -> None:
    save(tmp_path / name, supernet, header)
    refusal(tmp_path / name)


@pytest.mark.parametrize("data", [None, {}, {"name": "digits"}, {"name": 3, "arguments": {}}, {"name": "digits", "arguments": []}], ids=str)
def test_a_header_without_the_training_images_is_refused(supernet: Supernet, tmp_path: Path, data: Any) -> None:
    save_supernet(tmp_path / "weights.safetensors", supernet, make_header(supernet, data))
    assert "data.name" in refusal(tmp_path / "weights.safetensors")


@pytest.mark.parametrize(("save", "name"), BOTH)
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("classes", 6),
        ("classes", "five"),
        ("channels", 3),
        ("norm", "batch"),
        ("norm", "none"),
        ("shortcuts", "sometimes"),
        ("space", {"max_widths": [8, 12, 18]}),
        ("space", {"blocks": [1, 1, 2]}),
        ("space", {"width_step": 3}),
        ("space", {"depth": 3}),
    ],
    ids=str,
)
def test_weights_that_are_not_what_the_header_says_are_refused(
    supernet: Supernet, tmp_path: Path, save: Save, name: str, key: str, value: Any
) -> None:
    header = make_header(supernet, DATA)
    said = header["supernet"]
    header["supernet"] = {**said, key: {**said["space"], **value} if key == "space" else value}
    save(tmp_path / name, supernet, header)
    assert "does not hold the supernet" in refusal(tmp_path / name)


def test_another_projects_weights_are_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors", metadata={"format": "pt"})
    save_file({"weight": torch.zeros(2)}, tmp_path / "broken.safetensors", metadata={HEADER_KEY: "{"})
    torch.save({"weight": torch.zeros(2)}, tmp_path / "weights.ckpt")
    torch.save(torch.zeros(2), tmp_path / "tensor.ckpt")
    torch.save({"state_dict": {"weight": torch.zeros(2)}}, tmp_path / "lightning.ckpt")
    with zipfile.ZipFile(tmp_path / "zip.ckpt", "w") as archive:
        archive.writestr("readme.txt", "not a checkpoint")
    for path in sorted(tmp_path.iterdir()):
        refusal(path)


@contextmanager
def full_disk() -> Iterator[None]:
    """Lets no file of this process grow beyond 1,000 bytes; not as a fixture, as pytest's own output may go to a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_weights_that_do_not_fit_on_the_disk_leave_no_file(supernet: Supernet, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"), full_disk():
        save_supernet(tmp_path / "supernet.safetensors", supernet, make_header(supernet, DATA))
    assert list(tmp_path.iterdir()) == []
