"""How ``_target_`` nodes become objects, and which may not."""

from pathlib import Path

import pytest
import torch

from nas_lightning.config.build import Builder
from nas_lightning.config.schema import Target
from nas_lightning.data import Augmentation, Cutout
from nas_lightning.errors import InputError
from nas_lightning.schedule import Cosine

PLUGIN = """
class Holder:
    def __init__(self, inner, number=1):
        self.inner, self.number = inner, number
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module that only this test knows."""
    (tmp_path / "plugin_of_a_test.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    return "plugin_of_a_test"


def test_an_object_is_made_from_its_class_and_arguments():
    made = Builder().build(Target({"_target_": "nas_lightning.schedule.Cosine", "final_lr": 0.1}), "schedule")
    assert made == Cosine(final_lr=0.1)


@pytest.mark.parametrize("name", ["os.system", "builtins.eval", "subprocess.run", "numpy.zeros", "torchx.Thing", "nas_lightning_x.Thing"])
def test_a_class_outside_the_allowed_packages_is_refused(name: str):
    with pytest.raises(InputError, match=rf"^schedule\._target_: {name} is not below one of .*add its package to plugins$"):
        Builder().build({"_target_": name}, "schedule")


@pytest.mark.parametrize("name", ["torch.os.system", "torch.sys.exit", "nas_lightning.config.build.inspect.importlib.import_module"])
def test_a_class_of_another_package_is_refused_through_an_allowed_one_that_imports_it(name: str):
    with pytest.raises(InputError, match=r"^schedule\._target_: "):
        Builder().build({"_target_": name, "_partial_": True}, "schedule")


def test_a_plugin_is_refused_until_it_is_named(plugin: str):
    node = {"_target_": f"{plugin}.Holder", "inner": 3}
    with pytest.raises(InputError, match=rf"{plugin}\.Holder is not below one of"):
        Builder().build(node, "place")
    assert Builder((plugin,)).build(node, "place").inner == 3


def test_nodes_within_mappings_and_lists_are_made_first(plugin: str):
    node = {
        "_target_": f"{plugin}.Holder",
        "inner": {"plain": 1, "list": [{"_target_": "nas_lightning.schedule.Cosine"}, 2]},
        "number": {"_target_": "nas_lightning.schedule.Cosine", "warmup": 0.5},
    }
    made = Builder((plugin,)).build(node, "place")
    assert made.inner == {"plain": 1, "list": [Cosine(), 2]}
    assert made.number == Cosine(warmup=0.5)


def test_a_nested_class_outside_the_allowed_packages_is_refused_with_its_whole_place():
    node = {"_target_": "nas_lightning.data.Augmentation", "operations": {"evil": {"_target_": "os.system", "command": "true"}}}
    with pytest.raises(InputError, match=r"^augmentation\.operations\.evil\._target_: os\.system is not below"):
        Builder().build(node, "augmentation")


def test_a_nested_operation_becomes_an_object():
    node = {
        "_target_": "nas_lightning.data.Augmentation",
        "operations": {"cutout": {"_target_": "nas_lightning.data.Cutout", "size": 4}},
    }
    made = Builder().build(node, "augmentation")
    assert isinstance(made, Augmentation)
    assert list(made.operations) == [Cutout(size=4)] or made.operations == {"cutout": Cutout(size=4)}


@pytest.mark.parametrize("name", ["nas_lightning.schedule.Cosin", "nas_lightning.nowhere.Cosine", "torch.optim.SDG"])
def test_a_class_that_does_not_exist_is_refused(name: str):
    with pytest.raises(InputError, match=rf"^at\._target_: there is no {name}"):
        Builder().build({"_target_": name}, "at")


@pytest.mark.parametrize("name", ["Cosine", 3, None])
def test_a_target_that_is_no_dotted_path_is_refused(name: object):
    with pytest.raises(InputError, match=rf"^at\._target_: {name!r} must be the dotted path"):
        Builder().build({"_target_": name}, "at")


def test_a_target_that_cannot_be_called_is_refused():
    with pytest.raises(InputError, match=r"^at\._target_: torch\.__version__ is not a class$"):
        Builder().build({"_target_": "nas_lightning.__version__"} | {"_target_": "torch.__version__"}, "at")


def test_an_argument_that_the_class_does_not_take_is_refused_with_the_one_that_is_meant():
    with pytest.raises(InputError, match=r"^schedule\.final_rl: is not a key; did you mean final_lr\?$"):
        Builder().build({"_target_": "nas_lightning.schedule.Cosine", "final_rl": 1}, "schedule")


def test_a_value_that_the_class_refuses_is_told_with_its_whole_place():
    with pytest.raises(InputError, match=r"^stages\.a\.schedule\.final_lr: -1 must be at least 0$"):
        Builder().build({"_target_": "nas_lightning.schedule.Cosine", "final_lr": -1}, "stages.a.schedule")


def test_offered_arguments_go_to_classes_that_take_them_and_give_way_to_the_config(plugin: str):
    builder = Builder((plugin,)).offering(number=7, unknown=3)
    assert builder.build({"_target_": f"{plugin}.Holder", "inner": 1}, "at").number == 7
    assert builder.build({"_target_": f"{plugin}.Holder", "inner": 1, "number": 2}, "at").number == 2
    assert builder.build({"_target_": "nas_lightning.schedule.Cosine"}, "at") == Cosine()


def test_a_partial_node_waits_for_its_last_argument():
    make = Builder().build({"_target_": "torch.optim.SGD", "lr": 0.5, "_partial_": True}, "optimizer")
    assert make([torch.nn.Parameter(torch.zeros(2))]).param_groups[0]["lr"] == 0.5
