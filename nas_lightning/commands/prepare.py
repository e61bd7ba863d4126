"""Makes every object of a run from its config, so that a wrong value stops the run before it starts."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pytorch_lightning.plugins import DoublePrecision

from nas_lightning.commands.check_trainer import check_batches, check_clipping, check_panel_is_evaluated
from nas_lightning.commands.configs import NetworkConfig, StandaloneCommandConfig, StandaloneConfig, TrainConfig
from nas_lightning.commands.ranking import check_enough_known, check_ranking, choose_candidates
from nas_lightning.config.build import Builder, check_numbers, import_plugins
from nas_lightning.config.fields import Later, Target
from nas_lightning.config.schema import PopulationConfig
from nas_lightning.data import ImageDataset
from nas_lightning.data.check import check_dataset, check_trained_on
from nas_lightning.data.data_module import ImageDataModule
from nas_lightning.data.trained_on import check_untrained
from nas_lightning.devices.launch import is_rank_zero
from nas_lightning.devices.trainer import make_trainer
from nas_lightning.errors import InputError
from nas_lightning.space import Architecture, Population, SearchSpace, ShortcutRule, Space, Structure, read_accuracies
from nas_lightning.standalone.choice import check_seeds, spread_by_accuracy, spread_by_cost
from nas_lightning.standalone.side_by_side import on_one_device, pack
from nas_lightning.standalone.train_alone import Recipe
from nas_lightning.supernet import ResidualFamily
from nas_lightning.supernet.checkpoint import load_supernet
from nas_lightning.supernet.families import AnyModule, Family, is_traced
from nas_lightning.supernet.traced import TracedFamily, TracedSupernet
from nas_lightning.supernet.traced.source import NetworkSource
from nas_lightning.training.schedules import Schedule
from nas_lightning.training.stage import MakeOptimizer, Stage, check_name


class Run(NamedTuple):
    """Every object of a run, made and checked before any computation."""

    space: Space
    dataset: ImageDataset
    population: Population
    supernet: AnyModule
    stages: list[Stage]
    truth: tuple[Population, Recipe] | None


def prepare(config: TrainConfig) -> Run:
    """Makes the objects of a run; any wrong value in the config stops here."""
    import_plugins(config.plugins)
    builder = Builder(tuple(config.plugins), {"seed": config.seed})
    family, dataset = make_family_and_dataset(builder, config, config.supernet.shortcuts)
    space = family.space
    population = make_population(config.population, space)
    supernet = family.supernet(config.supernet.norm, config.seed, config.supernet.channels_last)
    builder = builder.offering(space=space, population=population, family=family, dataset=dataset)
    stages = make_stages(builder, config.stages, supernet)
    if config.returns == "panel_cross_entropy" and not (config.loader.holdout and stages):
        raise InputError("returns: panel_cross_entropy needs a panel; give loader.holdout, and a stage")
    data = make_data(config, builder, dataset, 0)
    data.train_dataloader()  # reads and splits the images
    arguments = builder.build_values(config.trainer, "trainer")
    trainer = make_trainer(arguments, find_unused_parameters=supernet.skips_parameters)
    if stages:
        steps = check_batches(trainer, data)
        check_last_batch(family, data, trainer.world_size, "loader.batch_size")
        check_clipping(trainer, arguments, stages)
        if config.returns == "panel_cross_entropy":
            check_panel_is_evaluated(trainer, steps, stages[-1], config.monitor.every_epochs)
    if isinstance(trainer.precision_plugin, DoublePrecision):
        supernet.double()  # as Lightning would at a stage's start, so that reloaded weights lose no digits
    ranked, truth = population, None
    if config.ranking.enabled:
        if config.ranking.shard is not None:
            raise InputError(f"ranking.shard: {config.ranking.shard} belongs to nas-rank, which scores parts of a list on several machines")
        ranked = choose_candidates(config.ranking, space, population)
        check_ranking(config.ranking, dataset, ranked)
    if config.standalone.enabled:
        listed = config.ranking.list if config.ranking.enabled and config.ranking.list else config.population.file
        alone = replace(family, shortcuts=ShortcutRule(config.standalone.shortcuts)) if isinstance(family, ResidualFamily) else family
        truth = make_standalone(builder, config, dataset, ranked, listed, alone)
        if config.standalone.processes > 1 and trainer.num_devices * trainer.num_nodes > 1:
            raise InputError(
                f"standalone.processes: {config.standalone.processes} cannot be used where the stages train in several processes "
                "(trainer.devices); train the truth with nas-standalone"
            )
        if config.ranking.enabled:
            check_enough_known(dict.fromkeys(truth[0].architectures, 0.0), ranked, "standalone")
    if config.initial_checkpoint is not None:
        path = Path(config.initial_checkpoint)
        loaded, header = load_supernet(path)
        if loaded.header() != supernet.header():
            raise InputError(f"initial_checkpoint: {_what_differs(path, loaded.header(), supernet)}")
        supernet.load_state_dict(loaded.state_dict())
        if not stages:  # the weights are ranked as they are
            check_trained_on(dataset, header, "initial_checkpoint", path)
        else:  # they may be trained on other images, but not on those of the test
            check_untrained(dataset, header["data"], "initial_checkpoint", path)
    return Run(space, dataset, population, supernet, stages, truth)


def _what_differs(path: Path, header: Mapping[str, Any], supernet: AnyModule) -> str:
    ours = supernet.header()
    if not (is_traced(header) and isinstance(supernet, TracedSupernet)):
        return f"{path} holds {header}, but the config describes {ours}"
    keys = ", ".join(key for key in ours if ours[key] != header.get(key))
    return f"{path} is of another supernet than the config describes ({supernet.family.what_differs(header) or f'other {keys}'})"


def make_family_and_dataset(builder: Builder, config: TrainConfig | StandaloneCommandConfig, shortcuts: str) -> tuple[Family, ImageDataset]:
    """The networks of a run, those of its space or of ``network``, and the images, both splits read and checked."""
    if config.network is None:
        space, dataset = make_space_and_dataset(builder, config.space, config.data)
        return make_family(space, dataset, shortcuts), dataset
    dataset = builder.build(config.data, "data")
    check_dataset(dataset)
    stages = config.stages.values() if isinstance(config, TrainConfig) else ()
    free_sides = any(stage.node.get("low_resolution") is not None for stage in stages)
    return make_traced(config.network, dataset, config.plugins, free_sides), dataset


def make_traced(config: NetworkConfig, dataset: ImageDataset, plugins: Sequence[str], free_sides: bool = False) -> TracedFamily:
    """The candidates of a network for a data set, traced; with ``free_sides`` also for images of other sides."""
    if config.sort != "none" and config.weights is None:
        raise InputError(f"network.sort: {config.sort} orders trained weights; give network.weights")
    source = NetworkSource.for_classes(config.network, config.classes_argument, dataset.classes, plugins)
    images = dataset.classes, dataset.channels, dataset.resolution
    of_choices = config.widths, config.fixed, config.tie
    family = TracedFamily(source, source.name, *images, *of_choices, config.sort, config.weights, free_sides)
    family.remember()  # after it was traced, and slices were compared with the network narrowed
    return family


def make_space_and_dataset(builder: Builder, space_config: Target, config: Target) -> tuple[SearchSpace, ImageDataset]:
    """The space, which takes the images' resolution if it has none, and the images, both splits read and checked."""
    has_resolution = space_config.node.get("resolution") is not None
    space: SearchSpace | None = builder.build(space_config, "space") if has_resolution else None  # before images are read
    dataset: ImageDataset = builder.build(config, "data")
    space = space or builder.build(of_resolution(space_config, dataset.resolution), "space")
    check_dataset(dataset)
    if dataset.resolution != space.resolution:
        differ = f"{space.resolution} differs from the images' {dataset.resolution} ({dataset.name})"
        raise InputError(f"space.resolution: {differ}; give space.resolution={dataset.resolution}, or another data.resolution")
    return space, dataset


def of_resolution(space: Target, resolution: int) -> Target:
    """The node of a space of the images' resolution."""
    return replace(space, node={**space.node, "resolution": resolution})


def make_population(config: PopulationConfig, space: Space) -> Population:
    """The run's list, from a file or drawn."""
    if config.file is not None:
        return Population.read(Path(config.file), space)
    return Population.draw(space, min(config.count, space.size), config.seed)


def make_stages(builder: Builder, config: Mapping[str, Later[Stage]], supernet: AnyModule) -> list[Stage]:
    """The recipe, each stage checked against its supernet."""
    folders: dict[str, str] = {}
    for name in config:
        check_name(name)
        if (other := folders.setdefault(name.lower(), name)) != name:
            raise InputError(f"stages.{name}: differs from stages.{other} in capitals alone; some file systems would give both one folder")
    stages = [builder.make(keys, f"stages.{name}", name=name, index=index) for index, (name, keys) in enumerate(config.items())]
    for stage in stages:
        check_falls(stage.schedule, check_optimizer(stage.optimizer, f"stages.{stage.name}.optimizer"), f"stages.{stage.name}")
        stage.check(supernet)
    return stages


def check_falls(schedule: Schedule, peak: float, place: str) -> None:
    """Raises InputError if a schedule that names its last rate would rise to it."""
    if (final := getattr(schedule, "final_lr", 0.0)) > peak:
        raise InputError(f"{place}.schedule.final_lr: {final} must not be above the rate that it falls from, optimizer.lr: {peak}")


def check_optimizer(make: MakeOptimizer, place: str) -> float:
    """Tries an optimizer for one step, so that a wrong value stops the run before it starts; returns its learning rate."""
    # The shapes of a network: a convolution's, a classifier's, a norm's.
    parameters = [torch.nn.Parameter(torch.ones(shape)) for shape in ((2, 2, 1, 1), (2, 2), (2,))]
    try:
        optimizer = make(parameters)
    except (TypeError, ValueError) as error:
        if isinstance(make, partial):
            check_numbers(make.func, make.keywords, place)
        raise InputError(f"{place}: {' '.join(str(error).split())}") from error
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    try:
        optimizer.step()
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{place}: {type(optimizer).__name__} cannot take a step from the summed gradients of paths ({reason})") from error
    if any("lr" not in group for group in optimizer.param_groups):
        raise InputError(f"{place}: {type(optimizer).__name__} has no lr, which the schedule sets")
    return float(optimizer.param_groups[0]["lr"])


def make_family(space: SearchSpace, dataset: ImageDataset, shortcuts: str) -> ResidualFamily:
    """The networks of a space for a data set."""
    return ResidualFamily(space, dataset.classes, dataset.channels, ShortcutRule(shortcuts))


def make_standalone(
    builder: Builder,
    config: TrainConfig | StandaloneCommandConfig,
    dataset: ImageDataset,
    candidates: Population,
    listed: str | None,
    family: Family,
) -> tuple[Population, Recipe]:
    """The candidates to train stand-alone, and the recipe, tried for one step.

    Args:
        candidates: to choose from.
        listed: their file; None if they were drawn.
        family: of the networks.
    """
    recipe: Recipe = builder.offering(space=candidates.space).make(config.standalone.recipe, "standalone", family=family)
    chosen = choose_standalone(config.standalone, candidates, family, listed)
    check_recipe(recipe, dataset, builder.build_values(config.trainer, "trainer"), config.standalone.processes)
    return chosen, recipe


def check_last_batch(family: Family, data: ImageDataModule, devices: int, place: str) -> None:
    """Raises InputError where an epoch ends with a batch of one image, which a norm of single values cannot train on."""
    if data.last_batch(devices) == 1 and family.norms_single_values:
        rest = f"leaves a last batch of one image, of which a batch norm of {family.space.name} has a single value a channel"
        raise InputError(f"{place}: {data.loader.batch_size} {rest}; give another, or images of more pixels")


def check_recipe(recipe: Recipe, dataset: ImageDataset, trainer_arguments: Mapping[str, Any], processes: int) -> None:
    """Makes what a stand-alone training needs, so that a wrong recipe stops here."""
    check_falls(recipe.schedule, check_optimizer(recipe.optimizer, "standalone.optimizer"), "standalone")
    data = ImageDataModule(dataset, recipe.augmentation, batch_size=recipe.batch_size)
    try:
        data.train_dataloader()  # tries transforms of images
    except InputError as error:
        raise InputError(f"standalone.{error}") from None
    check_last_batch(recipe.family, data, 1, "standalone.batch_size")
    for arguments in on_one_device(trainer_arguments, 1):
        make_trainer(arguments)
    if processes > 1:
        pack(dataset, recipe, trainer_arguments, processes)


def choose_standalone(config: StandaloneConfig, population: Population, family: Structure, listed: str | None) -> Population:
    """The candidates to train stand-alone, each architecture once; arguments as for ``make_standalone``."""
    check_seeds(config.seeds)
    if config.choose == "best":
        raise InputError(
            "standalone.choose: best needs a ranking; once there is one, nas-standalone choose=best scores=FILE trains its best"
        )
    names, population = len(population), population.distinct()
    if (copies := names - len(population)) and is_rank_zero():
        print(f"standalone: {copies:,} of {names:,} names are copies of other candidates, which are trained once", file=sys.stderr)
    if config.choose == "cost":
        return population if config.count is None else spread_by_cost(population, config.count, family)
    known = read_known(listed, population.space)
    chosen = tuple(candidate for candidate in population if candidate.architecture in known)
    where = "a list that is drawn" if listed is None else listed
    if not chosen:
        raise InputError(f"standalone.choose: accuracy needs known accuracies, and {where} has none; choose=cost needs none")
    if (config.count or 0) > len(chosen):
        count = f"{len(chosen)} of {len(population)} candidates of {where} have a known accuracy"
        raise InputError(f"standalone.count: {config.count} is more than can be chosen by accuracy: {count}")
    population = Population(population.space, chosen)
    return population if config.count is None else spread_by_accuracy(population, known, config.count)


def read_known(listed: str | None, space: Space) -> dict[Architecture, float]:
    """The known accuracies in a list's own file, fractions; empty without a file."""
    return {} if listed is None else read_accuracies(Path(listed), space)


def make_data(config: TrainConfig, builder: Builder, dataset: ImageDataset, index: int) -> ImageDataModule:
    """The data module of a stage."""
    augmentation = builder.build(config.augmentation, "augmentation")
    return ImageDataModule(dataset, augmentation, seed=config.seed, stage_index=index, **vars(config.loader))
