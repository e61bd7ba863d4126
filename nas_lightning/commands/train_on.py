"""``nas-standalone start=EXPORT``: trains an exported network on, and exports it again."""

from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from nas_lightning.commands.configs import StandaloneCommandConfig
from nas_lightning.commands.export import show
from nas_lightning.commands.from_run import nodes_of
from nas_lightning.commands.prepare import make_standalone
from nas_lightning.config.build import Builder, import_plugins
from nas_lightning.config.read import read
from nas_lightning.console.start import hold, run_folder
from nas_lightning.data import known_datasets
from nas_lightning.data.check import images_of
from nas_lightning.devices.launch import check_alone
from nas_lightning.devices.process import limit_threads
from nas_lightning.errors import InputError
from nas_lightning.export.calibration import evaluate
from nas_lightning.export.read import Saved, read_export
from nas_lightning.export.write import Exported, kept, name_of, write_export
from nas_lightning.runs.claim import claim_config, environment
from nas_lightning.runs.made_from import file_hash
from nas_lightning.space import Candidate, Population
from nas_lightning.standalone.progress import TruthProgress
from nas_lightning.standalone.side_by_side import on_one_device
from nas_lightning.standalone.train_alone import check_trainer_arguments, train_network

OTHERS = (
    *("choose", "count", "budget", "random", "scores", "space", "network", "population", "data"),
    *("standalone.choose", "standalone.count", "standalone.shortcuts"),
)
"""Keys of which candidates are trained, and on what; with their own, but for ``data.root``."""


def train_on(node: Mapping[str, Any], overrides: Iterable[str]) -> None:
    """Trains the network of an export by the recipe, on the images that it was made for, and writes it into ``run_dir``.

    Args:
        node: the composed config.
        overrides: of the command line.
    """
    typed = [override.lstrip("+~").split("=")[0] for override in overrides]
    for key in typed:
        if key != "data.root" and any(key == other or key.startswith(f"{other}.") for other in OTHERS):
            raise InputError(f"{key}: cannot go with start, whose export names the candidate, its space and its images")
    config = read(StandaloneCommandConfig, node)
    limit_threads(config.threads)
    check_trainer_arguments(config.trainer)
    import_plugins(config.plugins)
    start = Path(str(config.start))
    saved = read_export(start)
    root = node["data"]["root"] if "data.root" in typed else None
    config = read(StandaloneCommandConfig, node := _with_export(node, saved, root))
    seeds = config.standalone.seeds
    if len(seeds) != 1 or config.standalone.processes != 1:
        raise InputError(f"standalone.seeds: {seeds} must be one with start, and standalone.processes 1: it trains one network")
    dataset = images_of({"supernet": saved.family.header(), "data": saved.data}, root, "start", start)
    saved.settings.check(dataset)
    builder = Builder(tuple(config.plugins), {"seed": config.seed})
    candidate = Candidate("start", saved.family.space.text(saved.architecture), saved.architecture)
    everything = replace(config, standalone=replace(config.standalone, choose="cost", count=None))
    _, recipe = make_standalone(builder, everything, dataset, Population(saved.family.space, (candidate,)), None, saved.family)
    if recipe.norm != "running":
        raise InputError(f"standalone.norm: {recipe.norm} cannot go with start: an export has running norms")
    (arguments,) = on_one_device(builder.build_values(config.trainer, "trainer"), 1)
    check_alone()
    made_from = {"network.safetensors": file_hash(start / "network.safetensors")}
    with hold(run_folder(config.run_dir, config.resume, "standalone"), config.resume) as held:
        claim_config(held / "standalone", node)
        target = held / "export" / name_of(saved.family, saved.architecture)
        if (card := kept(target, saved.settings, made_from)) is not None:
            if (seed := card["origin"].get("seed")) != seeds[0]:
                raise InputError(f"standalone.seeds: {seeds}: {target} was trained with seed {seed}; give another run_dir")
            show(target, card, is_new=False)
            return
        before = evaluate(saved.network, dataset, saved.settings.images, saved.settings.batch_size)
        progress = TruthProgress(1, recipe.epochs, processes=1, is_shown=True)
        with closing(progress.progress):
            train_network(saved.network, candidate.text, dataset, recipe, seeds[0], arguments, progress.epoch)
            progress.end()
        exported = Exported(
            network=saved.network.cpu().float().to(memory_format=torch.contiguous_format).eval(),
            family=saved.family,
            architecture=saved.architecture,
            dataset=dataset,
            made_from=made_from,
            origin={"start": str(start), "epochs": recipe.epochs, "seed": seeds[0], "recipe": node["standalone"]},
            before=("of the export that it started from", before),
            after="averages of its training",
            differences={},
        )
        show(target, write_export(target, exported, saved.settings, environment(node)), is_new=True)


def _with_export(node: Mapping[str, Any], saved: Saved, root: str | None) -> dict[str, Any]:
    """The config with the networks and the images of an export."""
    if (dataset := known_datasets().get(saved.data["name"])) is None:
        raise InputError(f"start: its images are {saved.data['name']!r}, a data set that is not known here; name its package in plugins")
    header = saved.family.header()
    shortcuts = {"shortcuts": header["shortcuts"]} if "shortcuts" in header else {}
    return {
        **node,
        **nodes_of(header),
        "data": {
            "_target_": f"{dataset.__module__}.{dataset.__qualname__}",
            **saved.data["arguments"],
            **({} if root is None else {"root": root}),
        },
        "standalone": {**node["standalone"], **shortcuts},
    }
