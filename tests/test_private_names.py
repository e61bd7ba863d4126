"""Private names of libraries that the package reaches for: all are listed here, are what it takes them for, and have a version bound."""

import ast
import inspect
import tomllib
from pathlib import Path

import pytest
import pytorch_lightning as pl
from hydra._internal import config_loader_impl, config_repository, utils
from hydra._internal import hydra as inner
from packaging.requirements import Requirement
from packaging.version import Version
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.strategies.launchers import _MultiProcessingLauncher, subprocess_script

ROOT = Path(__file__).parents[1]
PYTHONS_OWN = {"_fields", "_replace", "_asdict", "_exit"}
OF_LIGHTNING = {
    "_signal_connector": lambda trainer: trainer._signal_connector,
    "_original_handlers": lambda trainer: trainer._signal_connector._original_handlers.get,
    "_sigterm_notifier_fn": lambda trainer: inspect.signature(trainer._signal_connector._sigterm_notifier_fn).bind(15, None),
    "_broadcast_sigterm_tensor": lambda trainer: inspect.signature(trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor).bind(),
    "_launch_process_observer": lambda _: inspect.signature(subprocess_script._launch_process_observer).bind([]),
    "_MultiProcessingLauncher": lambda _: inspect.isclass(_MultiProcessingLauncher),
    "_ddp_kwargs": lambda _: DDPStrategy(find_unused_parameters=True)._ddp_kwargs["find_unused_parameters"],
    "_precision_plugin": lambda trainer: trainer.strategy._precision_plugin or True,
    "_checkpoint_io": lambda trainer: trainer.strategy._checkpoint_io or True,
}
OF_HYDRA = {
    "hydra._internal.utils.get_args_parser": lambda: inspect.signature(utils.get_args_parser).bind(),
    "hydra._internal.hydra": lambda: inner.Hydra,
    "hydra._internal.config_loader_impl.ConfigLoaderImpl": lambda: inspect.signature(
        config_loader_impl.ConfigLoaderImpl._compose_config_from_defaults_list
    ).bind(None, defaults=[], repo=None),
    "hydra._internal.config_repository.ConfigRepository": lambda: config_repository.ConfigRepository,
}


def private_names(file: Path) -> set[str]:
    """Those of libraries: names that the file defines itself, or sets on its own objects, are its own."""
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    attributes = [node for node in nodes if isinstance(node, ast.Attribute)]
    own = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    own |= {node.attr for node in attributes if isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")}
    found = {node.attr for node in attributes if node.attr.startswith("_") and not node.attr.startswith("__")} - own
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("nas_lightning"):
            found |= {f"{node.module}.{alias.name}" for alias in node.names if "._" in f"{node.module}."}
            found |= {alias.name for alias in node.names if alias.name.startswith("_")}
    return found - PYTHONS_OWN


def test_every_private_name_of_a_library_is_in_the_lists():
    found = set().union(*(private_names(file) for file in (ROOT / "nas_lightning").rglob("*.py")))
    assert found == OF_LIGHTNING.keys() | OF_HYDRA.keys()


def test_lightnings_private_names_are_what_we_take_them_for():
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    for name, found in OF_LIGHTNING.items():
        assert found(trainer), name


@pytest.mark.parametrize("name", OF_HYDRA)
def test_hydras_private_name_is_what_we_take_it_for(name: str):
    assert OF_HYDRA[name]()


@pytest.mark.parametrize("package", ["pytorch-lightning", "hydra-core"])
def test_a_library_with_private_names_has_an_upper_bound(package: str):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    bounds = next(wanted.specifier for wanted in map(Requirement, project["dependencies"]) if wanted.name == package)
    assert not bounds.contains(Version("99"))
