"""Weights of files that were made to be read at a price: bounded in memory and time, refused in one line."""

import io
import json
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save, save_file

from nas_lightning.errors import LONGEST_LINE
from nas_lightning.space import SearchSpace
from nas_lightning.supernet import Supernet
from nas_lightning.supernet.checkpoint import HEADER_KEY, load_supernet, make_header
from nas_lightning.supernet.tensor_files import Damaged, read_lightning
from tests.supernet.refusal import refusal

DATA = {"name": "digits", "arguments": {}, "mean": [0.5], "std": [0.25]}
MOST_MIB = 300
"""More than a reader takes beyond what it imports."""


@pytest.fixture
def supernet(tiny: SearchSpace) -> Supernet:
    return Supernet(tiny, classes=5, channels=1)


def short_refusal(path: Path) -> str:
    text = refusal(path)
    assert len(text) <= LONGEST_LINE
    return text


def lightning(supernet: Supernet, **changes: Any) -> dict[str, Any]:
    weights = {f"supernet.{name}": tensor for name, tensor in supernet.state_dict().items()}
    return {"state_dict": weights, HEADER_KEY: make_header(supernet, DATA), **changes}


def packed(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(f"archive/{name}", content)


def unpacked(content: Any) -> dict[str, bytes]:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with zipfile.ZipFile(buffer) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def zip_bomb(path: Path) -> None:
    """Some 9 MB for 8 GiB of zeros."""
    tensor = torch.zeros(1)
    members = unpacked({"state_dict": {"supernet.x": tensor}})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            with archive.open(f"archive/{name}", "w", force_zip64=True) as member:
                for _ in range(512 if name == "data/0" else 0):
                    member.write(bytes(2**20))
                member.write(content)


def pickle_bomb(path: Path) -> None:
    """40 MB of opcodes for empty lists, each 56 bytes in memory."""
    packed(path, {**unpacked({}), "data.pkl": b"\x80\x02(" + b"]" * 40_000_000 + b"l."}, zipfile.ZIP_STORED)


def deflated_pickle_bomb(path: Path) -> None:
    packed(path, {**unpacked({}), "data.pkl": b"\x80\x02(" + b"]" * 40_000_000 + b"l."})


def expanded_weights(path: Path) -> None:
    """One number that looks like a tebibyte."""
    torch.save({"state_dict": {"supernet.x": torch.zeros(()).expand(2**38)}}, path)


def huge_space(path: Path) -> None:
    """A header that describes 20 TiB of weights."""
    supernet = Supernet(SearchSpace("huge", (1, 1, 1), (8, 12, 16), 2, 8), 5, 1)
    header = make_header(supernet, DATA)
    header["supernet"]["space"]["max_widths"] = [65_536] * 3
    torch.save({"state_dict": lightning(supernet)["state_dict"], HEADER_KEY: header}, path)


def deep_space(path: Path) -> None:
    """A header that describes 6,001 layers."""
    supernet = Supernet(SearchSpace("deep", (1, 1, 1), (8, 12, 16), 2, 8), 5, 1)
    header = make_header(supernet, DATA)
    header["supernet"]["space"] |= {"blocks": [1000] * 3}
    save_file(dict(supernet.state_dict()), path.with_suffix(".safetensors"), metadata={HEADER_KEY: json.dumps(header)})
    path.with_suffix(".safetensors").rename(path)


def long_header(path: Path) -> None:
    """A safetensors header of 80 MB."""
    header = b"{" + b",".join(b'"%d":{}' % number for number in range(6_000_000)) + b"}"
    path.write_bytes(struct.pack("<Q", len(header)) + header)


BOMBS: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "a zip bomb": (zip_bomb, "ckpt", "packed"),
    "a pickle bomb": (pickle_bomb, "ckpt", "besides tensors"),
    "a packed pickle bomb": (deflated_pickle_bomb, "ckpt", "packed"),
    "an expanded tensor": (expanded_weights, "ckpt", "not a tensor by its name"),
    "a header of wide layers": (huge_space, "ckpt", "tensors differ"),
    "a header of many layers": (deep_space, "safetensors", "layers"),
    "a long header": (long_header, "safetensors", "its header has"),
}
PROGRAM = """
import resource, sys
from pathlib import Path
from nas_lightning.errors import InputError
from nas_lightning.supernet.checkpoint import load_supernet
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    load_supernet(Path(sys.argv[1]))
except InputError as error:
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
    print(error)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_and_takes_little_memory(name: str, tmp_path: Path):
    make, suffix, holds = BOMBS[name]
    path = tmp_path / f"bomb.{suffix}"
    make(path)
    done = subprocess.run([sys.executable, "-c", PROGRAM, path], capture_output=True, text=True, timeout=300, check=True)
    mebibytes, line = done.stdout.splitlines()
    assert holds in line
    assert int(mebibytes) < MOST_MIB


@pytest.mark.parametrize("name", ["an expanded tensor", "a header of wide layers", "a header of many layers"])
def test_a_small_bomb_is_refused(name: str, tmp_path: Path):
    make, suffix, holds = BOMBS[name]
    make(tmp_path / f"bomb.{suffix}")
    assert holds in short_refusal(tmp_path / f"bomb.{suffix}")


KINDS = [torch.int64, torch.bool, torch.complex64, torch.uint8, torch.float8_e4m3fn]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("suffix", ["ckpt", "safetensors"])
def test_weights_that_are_no_floating_point_numbers_are_refused(suffix: str, kind: torch.dtype, supernet: Supernet, tmp_path: Path):
    weights = {name: tensor.to(kind) for name, tensor in supernet.state_dict().items()}
    path = tmp_path / f"odd.{suffix}"
    if suffix == "ckpt":
        torch.save(lightning(supernet, state_dict={f"supernet.{name}": tensor for name, tensor in weights.items()}), path)
    else:
        path.write_bytes(save(weights, metadata={HEADER_KEY: json.dumps(make_header(supernet, DATA))}))
    short_refusal(path)


@pytest.mark.parametrize("kind", [torch.float64, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("suffix", ["ckpt", "safetensors"])
def test_weights_of_another_precision_are_taken(suffix: str, kind: torch.dtype, supernet: Supernet, tmp_path: Path):
    weights = {name: tensor.to(kind) for name, tensor in supernet.state_dict().items()}
    path = tmp_path / f"weights.{suffix}"
    if suffix == "ckpt":
        torch.save(lightning(supernet, state_dict={f"supernet.{name}": tensor for name, tensor in weights.items()}), path)
    else:
        path.write_bytes(save(weights, metadata={HEADER_KEY: json.dumps(make_header(supernet, DATA))}))
    loaded = load_supernet(path)[0].state_dict()
    assert all(torch.equal(loaded[name], tensor.float()) for name, tensor in weights.items())


NESTED: Any = [1]
for _ in range(80):
    NESTED = [NESTED, NESTED]


@pytest.mark.parametrize(
    "header",
    [
        NESTED,
        {"format": NESTED},
        {"format": 1, "supernet": NESTED, "data": DATA},
        {"format": 1, "supernet": {"space": {"blocks": NESTED}}, "data": DATA},
        {"format": 1, "supernet": {}, "data": {"name": "digits", "arguments": {"a": NESTED}}},
        {"format": 10**400},
        {"format": 1, "supernet": {"space": 10**400}, "data": DATA},
        {"format": 1, 2: 3},
        {"format": 1, "supernet": {}, "data": {"name": "x" * 10**6, "arguments": {}}},
    ],
    ids=range(9),
)
def test_a_header_without_end_is_refused_at_once(header: Any, supernet: Supernet, tmp_path: Path):
    torch.save(lightning(supernet, **{HEADER_KEY: header}), tmp_path / "odd.ckpt")
    short_refusal(tmp_path / "odd.ckpt")


@pytest.mark.parametrize("number", [0, -1, 2**62, True])
@pytest.mark.parametrize("key", ["classes", "channels"])
def test_a_header_of_an_odd_number_is_refused(key: str, number: int, supernet: Supernet, tmp_path: Path):
    header = make_header(supernet, DATA)
    torch.save(lightning(supernet, **{HEADER_KEY: {**header, "supernet": {**header["supernet"], key: number}}}), tmp_path / "odd.ckpt")
    if (key, number) != ("channels", True):  # it has one
        short_refusal(tmp_path / "odd.ckpt")


@pytest.mark.parametrize(
    "state", [{3: torch.zeros(1)}, {"supernet.x": "text"}, {"supernet.x": torch.zeros(1).to_sparse()}, {"supernet.x": None}], ids=str
)
def test_a_state_that_is_not_tensors_by_name_is_refused(state: dict[Any, Any], supernet: Supernet, tmp_path: Path):
    torch.save(lightning(supernet, state_dict=state), tmp_path / "odd.ckpt")
    assert "not a tensor by its name" in short_refusal(tmp_path / "odd.ckpt")


def test_a_member_that_is_shorter_than_its_tensor_is_refused(supernet: Supernet, tmp_path: Path):
    members = unpacked(lightning(supernet))
    packed(tmp_path / "short.ckpt", {**members, "data/0": members["data/0"][:-8]}, zipfile.ZIP_STORED)
    packed(tmp_path / "none.ckpt", {name: content for name, content in members.items() if name != "data/0"}, zipfile.ZIP_STORED)
    for path in sorted(tmp_path.iterdir()):
        short_refusal(path)


def test_a_content_that_is_no_mapping_is_damaged(tmp_path: Path):
    for number, content in enumerate((None, 3, [], {}, {"state_dict": []})):
        torch.save(content, tmp_path / f"{number}.ckpt")
        with pytest.raises(Damaged, match="no state_dict"):
            read_lightning(tmp_path / f"{number}.ckpt")
