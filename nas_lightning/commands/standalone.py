"""``nas-standalone``: trains given candidates alone, into the challenge's format."""

from omegaconf import DictConfig

from nas_lightning.commands.console import plain, run_folder, start


def task(cfg: DictConfig) -> None:
    """Trains what the folder does not hold yet."""
    from nas_lightning.config.read import read
    from nas_lightning.config.schema import AloneConfig

    node = plain(cfg)
    config = read(AloneConfig, node)
    from nas_lightning.config.build import Builder
    from nas_lightning.experiment.prepare import check_recipe, choose_alone, make_population, make_recipe
    from nas_lightning.experiment.run_folder import claim_run_folder
    from nas_lightning.standalone import train_truth

    builder = Builder(tuple(config.plugins), {"seed": config.seed})
    space, dataset = builder.build(config.space, "space"), builder.build(config.data, "data")
    chosen = choose_alone(config.standalone, make_population(config.population, space), dataset)
    recipe = make_recipe(builder.offering(space=space), config.standalone)
    check_recipe(recipe, dataset)
    arguments = builder.build_values(config.trainer, "trainer")
    folder = run_folder(config.run_dir) / "standalone"
    claim_run_folder(folder, node)
    train_truth(chosen, dataset, recipe, config.standalone.seeds, folder, arguments)
    print(f"written: {folder}/known_accuracies.json, accuracies.csv")


def main() -> None:
    """The console entry."""
    start(task, "standalone")
