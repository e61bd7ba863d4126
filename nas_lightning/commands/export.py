"""``nas-export``: takes candidates out of a supernet, into files that other programs run."""

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from nas_lightning.console.start import hold, is_folder_given, plain, run_folder, start
from nas_lightning.devices.launch import check_alone
from nas_lightning.devices.process import limit_threads
from nas_lightning.errors import InputError

if TYPE_CHECKING:
    from nas_lightning.space import Architecture, Space


def task(cfg: DictConfig) -> None:
    """Exports the candidate, or all that were chosen; leaves what is there already."""
    node = plain(cfg)
    from nas_lightning.commands.configs import ExportConfig
    from nas_lightning.config.read import read

    config = read(ExportConfig, node)
    if (config.architecture is None) == (config.chosen is None):
        given = "neither is given" if config.chosen is None else "both are given"
        raise InputError(f"architecture, chosen: {given}; give either architecture=CODE or chosen=FILE")
    from nas_lightning.config.build import import_plugins
    from nas_lightning.data.check import images_of
    from nas_lightning.export.cut_out import cut_out
    from nas_lightning.runs.claim import environment
    from nas_lightning.supernet.checkpoint import load_supernet

    check_alone()
    limit_threads(config.threads)
    import_plugins(config.plugins)
    checkpoint = Path(config.checkpoint)
    supernet, header = load_supernet(checkpoint)
    architectures, chosen = _architectures(config.architecture, config.chosen, supernet.space, config.count)
    if config.chosen is not None:
        _check_searched_with(checkpoint, Path(config.chosen))
    dataset = images_of(header, config.data.root, "checkpoint", checkpoint)
    config.export.check(dataset)
    if len(architectures) < chosen:
        which = "the best" if config.count == 1 else f"the {config.count} best"
        print(f"exports {len(architectures)} of the {chosen} chosen, {which} of each budget; count=null takes all")
    elif len(architectures) > 1:
        print(f"exports {len(architectures)} candidates")
    with hold(run_folder(config.run_dir, None, "export"), None) as held:
        if sys.stdout.isatty() or not is_folder_given():
            print(f"run folder: {held}")
        present, folders = environment(node), []
        for number, architecture in enumerate(architectures, start=1):
            if len(architectures) > 1:
                print(f"\n{number} of {len(architectures)}: {supernet.space.text(architecture)}")
            card, is_new = cut_out(supernet, architecture, dataset, checkpoint, held / "export", config.export, present)
            folders.append(held / "export" / card["name"])
            show(folders[-1], card, is_new)
    if "safetensors" in config.export.written:
        from nas_lightning.commands.screen import assigned, packages_in, to_paste

        root = [] if config.data.root is None else [assigned("data.root", config.data.root)]
        words = ["nas-standalone", assigned("start", str(folders[0])), "standalone=short", *root, *packages_in(sys.argv)]
        print(f"next, train {'it' if len(folders) == 1 else 'the first'} on:\n{to_paste(words)}")


def show(folder: Path, card: dict[str, Any], is_new: bool) -> None:
    """Prints the figures of a card."""
    from nas_lightning.commands.screen import fitted
    from nas_lightning.export.card import latency_table, quality_table

    if not is_new:
        print(f"\nthere already, by the same settings and weights: {folder}")
        return
    cost, largest = card["cost"], max(value["from_pytorch"] for value in card["checks"]["differences"].values() if isinstance(value, dict))
    print(
        fitted(
            [
                f"{card['architecture']}\n{cost['multiply_adds'] / 1e6:.3f} M multiply-adds, {cost['parameters']:,} parameters",
                quality_table(card, is_plain=True),
                latency_table(card, is_plain=True),
                f"each file was run: its logits differ by at most {largest:.1e}",
                f"written: {folder}/{', '.join([*card['files'], 'card.json', 'card.md'])}",
            ]
        )
    )


def _architectures(code: str | None, chosen: str | None, space: "Space", count: int | None) -> "tuple[list[Architecture], int]":
    """The candidates to export, each once, and the number that they are chosen from."""
    if chosen is None:
        try:
            return [space.parse(str(code))], 1
        except InputError as error:
            raise InputError(f"architecture: {error}") from None
    from nas_lightning.runs.reading import read_entries

    try:
        entries = read_entries(Path(chosen))
    except InputError as error:
        raise InputError(f"chosen: {error}") from None
    if not entries:
        raise InputError(f"chosen: {chosen}: is an empty list")
    found: dict[Architecture, bool] = {}
    for number, entry in enumerate(entries, start=1):
        try:
            place, architecture = entry.get("place"), space.parse(entry["architecture"])
            found[architecture] = found.get(architecture, False) or count is None or not isinstance(place, int) or place <= count
        except InputError as error:
            raise InputError(f"chosen: {chosen}: entry {number}: {error}") from None
    if not (taken := [architecture for architecture, is_taken in found.items() if is_taken]):
        raise InputError(f"count: {count}, but no candidate of {chosen} has such a place under its budget")
    return taken, len(found)


def _check_searched_with(checkpoint: Path, chosen: Path) -> None:
    """Raises InputError if a search's protocol beside its choice names other weights: what it found of them holds of them alone."""
    from nas_lightning.runs.made_from import file_hash
    from nas_lightning.runs.reading import read_json

    if not (path := chosen.with_name("protocol.json")).is_file():
        return
    wanted = read_json(path).get("checkpoint_sha256")
    if isinstance(wanted, str) and wanted != file_hash(checkpoint):
        raise InputError(f"chosen: {chosen} was found with another checkpoint than {checkpoint} is now; give that one, or search again")


main = partial(start, task, "export")
"""The console entry."""


if __name__ == "__main__":
    main()
