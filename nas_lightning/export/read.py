"""Reads an export again, to train it on."""

from dataclasses import dataclass
from pathlib import Path

from nas_lightning.config.read import read
from nas_lightning.errors import InputError
from nas_lightning.export.card import CARD
from nas_lightning.export.settings import ExportSettings
from nas_lightning.runs.reading import read_json
from nas_lightning.supernet.network_weights import SavedNetwork, load_network


@dataclass(frozen=True)
class Saved(SavedNetwork):
    """What ``network.safetensors`` and the card hold."""

    settings: ExportSettings


def read_export(folder: Path) -> Saved:
    """The network in evaluation mode, and what is needed to train and to export it again.

    Raises:
        InputError: if the folder holds no export with network.safetensors, or a damaged one.
    """
    path = folder / "network.safetensors"
    if not (path.is_file() and (folder / CARD).is_file()):
        raise InputError(f"start: {folder} is not a folder of nas-export with network.safetensors and {CARD}")
    saved = vars(load_network(path, "start"))
    return Saved(**saved, settings=read(ExportSettings, read_json(folder / CARD).get("settings"), f"{folder / CARD}: settings"))
