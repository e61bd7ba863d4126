"""Writes one network with its card, once every file was read back and agrees."""

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zlib import crc32

import torch
from torch import Tensor, nn

from nas_lightning.data import ImageDataset, to_unit
from nas_lightning.data.check import describe
from nas_lightning.errors import InputError, shorten
from nas_lightning.export.calibration import Quality, evaluate, scaled
from nas_lightning.export.card import CARD, card_text
from nas_lightning.export.checks import IMAGES, check_cost, compare, limit_of
from nas_lightning.export.formats import (
    Run,
    Scaled,
    run_class_file,
    run_onnx,
    run_pt2,
    run_weights,
    trace,
    write_onnx,
    write_pt2,
    write_safetensors,
)
from nas_lightning.export.latency import latency
from nas_lightning.export.settings import ExportSettings, class_names
from nas_lightning.runs.made_from import KEY, file_hash
from nas_lightning.runs.reading import read_json
from nas_lightning.runs.writing import write_atomically, write_json, write_text
from nas_lightning.space import Architecture
from nas_lightning.supernet.families import Family
from nas_lightning.supernet.network_weights import FORMAT

LONGEST_NAME = 100


@dataclass(frozen=True)
class Exported:
    """A network to write, and what its card says of it.

    Args:
        network: in evaluation mode on the CPU, with running norms.
        made_from: sha256 of the files that its weights are from, by name.
        origin: how it was made; ``calibration`` in it goes into the header.
        before: where its quality stood before, in words, and the quality.
        after: its norms, in words.
        differences: of logits compared before.
    """

    network: nn.Module
    family: Family
    architecture: Architecture
    dataset: ImageDataset
    made_from: Mapping[str, str]
    origin: Mapping[str, Any]
    before: tuple[str, Quality]
    after: str
    differences: Mapping[str, float]


def name_of(family: Family, architecture: Architecture) -> str:
    """The name of a candidate's folder: its code, or the code's start if that is long."""
    code = family.space.text(architecture)
    return code if len(code) <= LONGEST_NAME else f"{code[: LONGEST_NAME - 9]}_{crc32(code.encode()):08x}"


def kept(folder: Path, settings: ExportSettings, made_from: Mapping[str, str]) -> dict[str, Any] | None:
    """The card of an export that is there already, whole and by the same settings from the same files; None if there is none.

    Raises:
        InputError: if the folder holds another export.
    """
    if not (path := folder / CARD).is_file():
        return None
    card = read_json(path)
    before, files = ({**part} if isinstance(part := card.get(key), dict) else {} for key in (KEY, "files"))
    before |= {f"export.{key}": value for key, value in (card.get("settings") or {}).items()}
    wanted = {**made_from, **{f"export.{key}": value for key, value in asdict(settings).items()}}
    if differing := [key for key in wanted if before.get(key) != wanted[key]]:
        changes = "; ".join(f"{key} was {shorten(before.get(key))}, is {shorten(wanted[key])}" for key in differing)
        raise InputError(f"{folder}: holds another export: {changes}; give another run_dir, or move it away")
    is_whole = all((folder / name).is_file() and file_hash(folder / name) == file["sha256"] for name, file in files.items())
    return card if is_whole else None


def write_export(folder: Path, exported: Exported, settings: ExportSettings, environment: Mapping[str, Any]) -> dict[str, Any]:
    """Writes the files, reads each back in another place, compares, and only then puts them into ``folder``, the card last.

    Returns:
        The card.

    Raises:
        InputError: if a check fails; nothing is written then.
    """
    network, family, dataset = exported.network, exported.family, exported.dataset
    code = family.space.text(exported.architecture)
    scaling = {"mean": list(dataset.mean), "std": list(dataset.std), "channels": dataset.channels, "resolution": dataset.resolution}
    header: dict[str, Any] = {
        "format": FORMAT,
        "family": family.name,
        "architecture": code,
        "arguments": family.class_arguments(exported.architecture),
        "scaling": scaling,
        "classes": class_names(dataset),
        "calibration": exported.origin.get("calibration"),
        "structure": family.header(),
        "data": describe(dataset),
    }
    raw = dataset.test().images[:IMAGES]
    images, units = scaled(dataset, raw), to_unit(raw)
    with torch.inference_mode():
        expected = network(images)
    cost = check_cost(network, images[:1], family, exported.architecture)
    with TemporaryDirectory(prefix="nas_export_") as name:
        place = Path(name)
        runs: dict[str, tuple[Run, Tensor]] = {"pytorch": (network, images), **_write(place, exported, settings, header, images, units)}
        differences = {**exported.differences, **compare(runs, expected)}
        quality = evaluate(network, dataset, settings.images, settings.batch_size)
        files = {path.name: {"bytes": path.stat().st_size, "sha256": file_hash(path)} for path in sorted(place.iterdir())}
        card = {
            "format": FORMAT,
            "name": folder.name,
            "family": family.name,
            "space": family.space.name,
            "architecture": code,
            "origin": dict(exported.origin),
            "data": {**header["data"], "classes": len(header["classes"])},
            "scaling": scaling,
            "cost": {**cost, "share_of_largest": _share(family, exported.architecture)},
            "test": {
                "images": quality.images,
                "before": {"norms": exported.before[0], **_figures(exported.before[1])},
                "after": {"norms": exported.after, **_figures(quality)},
            },
            "checks": {"images": len(images), "limit": limit_of(expected), "differences": differences, "cost_counted": cost},
            "files": files,
            "latency": _latency(runs),
            "settings": asdict(settings),
            KEY: dict(exported.made_from),
            "environment": dict(environment),
        }
        for file in files:
            write_atomically(folder / file, partial(shutil.copyfile, place / file))
    write_text(folder / "card.md", card_text(card))
    write_json(folder / CARD, card)  # last: without it an export counts as none
    return card


def _write(
    place: Path, exported: Exported, settings: ExportSettings, header: Mapping[str, Any], images: Tensor, units: Tensor
) -> dict[str, tuple[Run, Tensor]]:
    """Writes the files of all formats; returns what runs each, with the images that it takes."""
    network, dataset, runs = exported.network, exported.dataset, dict[str, tuple[Run, Tensor]]()
    reads = exported.family.class_reads
    if "safetensors" in settings.written:
        write_safetensors(place / "network.safetensors", network, header)
        if reads != "network.safetensors":
            runs["network.safetensors"] = run_weights(place / "network.safetensors", network), images
    is_scaled_by_model = settings.scaling == "first_nodes"
    program = trace(network, images[:1]) if "pt2" in settings.written or not is_scaled_by_model else None
    if "pt2" in settings.written and program is not None:
        write_pt2(place / "network.pt2", program, header if reads == "network.pt2" else None)
        runs["network.pt2"] = run_pt2(place / "network.pt2"), images
    if (place / reads).is_file():
        shutil.copyfile(exported.family.class_file, place / "network.py")
        runs = {"network.py": (run_class_file(place, reads), images), **runs}
    if "onnx" in settings.written:
        if is_scaled_by_model:
            mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (dataset.mean, dataset.std))
            program = trace(Scaled(network, mean, std).eval(), units[:1])
        assert program is not None
        takes = "images in [0, 1]" if is_scaled_by_model else "scaled images: (images in [0, 1] - mean) / std"
        write_onnx(place / "network.onnx", program, {**header, "input": takes})
        runs["network.onnx"] = run_onnx(place / "network.onnx"), units if is_scaled_by_model else images
    return runs


def _share(family: Family, architecture: Architecture) -> dict[str, float]:
    cost = family.cost([architecture.widths, family.space.largest.widths])
    return {name: float(values[0] / values[1]) for name, values in cost._asdict().items()}


def _figures(quality: Quality) -> dict[str, float]:
    return {"top1": round(quality.top1, 6), "cross_entropy": round(quality.cross_entropy, 6)}


@torch.inference_mode()
def _latency(runs: Mapping[str, tuple[Run, Tensor]]) -> dict[str, Any]:
    """Of PyTorch, and of onnxruntime where there is a model for it; with one image and with all."""
    measured = {"pytorch": runs["pytorch"]} | ({"onnxruntime": runs["network.onnx"]} if "network.onnx" in runs else {})
    return {
        "threads": torch.get_num_threads(),
        **{name: [latency(run, images[:1]), latency(run, images)] for name, (run, images) in measured.items()},
    }
