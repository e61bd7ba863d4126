"""How ``_target_`` nodes become objects, and which may not."""

from pathlib import Path
from typing import Any

import pytest
import torch

from nas_lightning.config import roles
from nas_lightning.config.build import Builder
from nas_lightning.config.fields import Target
from nas_lightning.config.roles import AUGMENTATION, OBJECTIVE, OPTIMIZER, SCHEDULE, Role
from nas_lightning.data import Augmentation, Cutout
from nas_lightning.errors import InputError
from nas_lightning.training.objectives import CrossEntropy
from nas_lightning.training.schedules import Cosine, EpochwiseCosine

PL = "pytorch_lightning"
PLUGIN = """
import os, torch
from nas_lightning.data import Cutout

class Holder:
    def __init__(self, inner, number=1):
        self.inner, self.number = inner, number

    def rate(self, peak, elapsed, epochs):
        return peak

class Fair:
    def __init__(self, space, paths=2):
        self.space, self.paths = space, paths

    def sample(self, position):
        return [self.space.largest] * self.paths

class Forgetful:
    def sample(self, position):
        return []

class Nothing:
    made = 0
    def __init__(self):
        type(self).made += 1

def shell():
    raise AssertionError
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module that only this test knows."""
    (tmp_path / "plugin_of_a_test.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    return "plugin_of_a_test"


def build(node: dict[str, Any], place: str = "at", role: Role = SCHEDULE, plugins: tuple[str, ...] = ()) -> Any:
    return Builder(plugins).build(Target(node, role), place)


def test_an_object_is_made_from_its_class_and_arguments():
    assert build({"_target_": "nas_lightning.training.schedules.Cosine", "final_lr": 0.1}) == Cosine(final_lr=0.1)


@pytest.mark.parametrize("name", ["os.system", "builtins.eval", "subprocess.run", "numpy.zeros", "torchx.Thing", "nas_lightning_x.Thing"])
def test_a_class_outside_the_allowed_packages_is_refused(name: str):
    with pytest.raises(InputError, match=rf"^schedule\._target_: {name} is not allowed as a schedule .*plugins add your own package\)$"):
        build({"_target_": name}, "schedule")


@pytest.mark.parametrize(
    "name",
    [
        "torch.os.system",
        "torch.sys.exit",
        "nas_lightning.config.build.inspect.importlib.import_module",
        "torch.distributed.elastic.multiprocessing.subprocess_handler.SubprocessHandler",  # runs a shell command
        "torch.distributed.elastic.multiprocessing.tail_log.TailLog",
        "torch.utils.hipify.hipify_python.GeneratedFileCleaner",  # deletes files
        "torch.classes.load_library",
        "torch.nn.Module.load_state_dict",
        "torch.nn.Identity",
        "torch.optim.SGD",  # of another role
        "nas_lightning.training.schedules.LowFirst",
        "nas_lightning.training.schedules.Schedule",
        "nas_lightning.training.schedules.math.floor",
        "nas_lightning.training.schedules.check_fields",
        "nas_lightning.training.schedules.Cosine.rate",
    ],
)
def test_a_class_that_is_none_of_its_role_is_refused_without_an_import(name: str, monkeypatch: pytest.MonkeyPatch):
    roles.allowed(SCHEDULE)
    monkeypatch.setattr("nas_lightning.config.build.get_object", lambda *_: pytest.fail("looked up"))
    monkeypatch.setattr("importlib.import_module", lambda *_: pytest.fail("imported"))
    with pytest.raises(InputError, match=rf"^at\._target_: {name} is not allowed as a schedule"):
        build({"_target_": name})


def test_a_plugin_is_refused_until_it_is_named(plugin: str):
    node = {"_target_": f"{plugin}.Holder", "inner": 3}
    with pytest.raises(InputError, match=rf"{plugin}\.Holder is not allowed as a schedule"):
        build(node, "place")
    assert build(node, "place", plugins=(plugin,)).inner == 3


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("Nothing", r"is not a schedule, see nas_lightning\.training\.schedules\.Schedule"),
        ("Fair", "is not a schedule"),
        ("Cutout", "is not defined below one of"),
        ("os.system", "is not a class"),
        ("shell", "is not a class"),
        ("torch.nn.Identity", "is not defined below one of"),
        ("Nobody", "there is no"),
    ],
)
def test_a_class_of_a_plugin_that_is_none_of_its_role_is_refused(name: str, rule: str, plugin: str):
    with pytest.raises(InputError, match=rf"^at\._target_: .*{rule}"):
        build({"_target_": f"{plugin}.{name}"}, plugins=(plugin,))


def test_a_plugins_class_needs_only_what_its_role_names(plugin: str):
    builder = Builder((plugin,)).offering(space="a space")
    made = builder.build(Target({"_target_": f"{plugin}.Fair"}, roles.SAMPLER), "at")
    assert (made.paths, made.space) == (2, "a space")
    with pytest.raises(InputError, match=rf"^at: {plugin}\.Forgetful has no paths, which a sampler needs$"):
        builder.build(Target({"_target_": f"{plugin}.Forgetful"}, roles.SAMPLER), "at")


def test_nodes_within_an_own_classs_arguments_may_be_of_any_role(plugin: str):
    node = {
        "_target_": f"{plugin}.Holder",
        "inner": {"plain": 1, "list": [{"_target_": "nas_lightning.training.schedules.Cosine"}, 2, {"_target_": f"{plugin}.Nothing"}]},
        "number": {"_target_": "nas_lightning.training.schedules.Cosine", "warmup": 0.5},
    }
    made = build(node, "place", plugins=(plugin,))
    assert made.inner["list"][:2] == [Cosine(), 2]
    assert (made.inner["plain"], type(made.inner["list"][2]).__name__) == (1, "Nothing")
    assert made.number == Cosine(warmup=0.5)
    node["number"] = {"_target_": "torch.nn.Identity"}
    with pytest.raises(InputError, match=r"^place\.number\._target_: torch\.nn\.Identity is not allowed"):
        build(node, "place", plugins=(plugin,))


def test_a_nested_foreign_class_is_refused_with_its_whole_place():
    node = {"_target_": "nas_lightning.data.Augmentation", "operations": {"evil": {"_target_": "os.system", "command": "true"}}}
    with pytest.raises(InputError, match=r"^augmentation\.operations\.evil\._target_: os\.system is not allowed as an operation on images"):
        build(node, "augmentation", AUGMENTATION)


@pytest.mark.parametrize(
    ("role", "node"),
    [
        (OPTIMIZER, {"_target_": "torch.optim.SGD", "lr": {"_target_": "nas_lightning.training.schedules.Cosine"}}),
        (SCHEDULE, {"_target_": "nas_lightning.training.schedules.Cosine", "final_lr": [{"_target_": "torch.optim.SGD"}]}),
        (
            roles.SAMPLER,
            {
                "_target_": "nas_lightning.training.samplers.ListedSampler",
                "choose": {"_target_": "nas_lightning.training.schedules.Cosine"},
            },
        ),
        (
            roles.SAMPLER,
            {"_target_": "nas_lightning.training.samplers.ListedSampler", "choose": {"_target_": "torch.distributed.TCPStore"}},
        ),
    ],
)
def test_a_nested_class_of_another_role_or_of_none_is_refused(role: Role, node: dict[str, Any]):
    with pytest.raises(InputError, match=r"^at\.(lr|final_lr\[0\]|choose)\._target_: .* (cannot stand here|is not allowed as a choice)"):
        build(node, role=role)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"callbacks": [{"_target_": "torch.distributed.TCPStore"}]}, r"trainer\.callbacks\[0\]\._target_: .*as a callback"),
        ({"callbacks": {"_target_": "pytorch_lightning.loggers.CSVLogger"}}, r"trainer\.callbacks\._target_: .*as a callback"),
        (
            {"callbacks": [{"_target_": "pytorch_lightning.callbacks.SpikeDetection"}]},
            r"trainer\.callbacks\[0\]\._target_: .*as a callback",
        ),
        ({"logger": {"_target_": "pytorch_lightning.loggers.MLFlowLogger"}}, r"trainer\.logger\._target_: .*as a logger"),
        ({"profiler": {"_target_": "pytorch_lightning.Trainer"}}, r"trainer\.profiler\._target_: .*as a profiler"),
        ({"strategy": {"_target_": "pytorch_lightning.LightningModule"}}, r"trainer\.strategy\._target_: .*as a strategy"),
        ({"plugins": [{"_target_": "torch.nn.Identity"}]}, r"trainer\.plugins\[0\]\._target_: .*as a precision plugin"),
        ({"max_time": {"_target_": "nas_lightning.training.schedules.Cosine"}}, r"trainer\.max_time\._target_: .*cannot stand here"),
        (
            {"logger": {"_target_": "pytorch_lightning.loggers.CSVLogger", "save_dir": "ftp://host/folder"}},
            r"trainer\.logger\.save_dir: 'ftp://host/folder' must be a path on this machine",
        ),
    ],
)
def test_the_trainer_takes_objects_of_the_roles_of_its_arguments_alone(values: dict[str, Any], message: str):
    with pytest.raises(InputError, match=f"^{message}"):
        Builder().build_values(values, "trainer")


def test_the_trainer_takes_lightnings_objects(tmp_path: Path):
    nodes = {
        "callbacks": [{"_target_": "pytorch_lightning.callbacks.EarlyStopping", "monitor": "loss"}],
        "logger": [{"_target_": "pytorch_lightning.loggers.CSVLogger", "save_dir": str(tmp_path)}],
        "profiler": {"_target_": "pytorch_lightning.profilers.simple.SimpleProfiler", "dirpath": str(tmp_path)},
        "strategy": {
            "_target_": "pytorch_lightning.strategies.DDPStrategy",
            "cluster_environment": {"_target_": "pytorch_lightning.plugins.environments.LightningEnvironment"},
        },
        "plugins": [
            {"_target_": "pytorch_lightning.plugins.environments.SLURMEnvironment", "auto_requeue": False},
            {
                "_target_": "pytorch_lightning.plugins.AsyncCheckpointIO",
                "checkpoint_io": {"_target_": "pytorch_lightning.plugins.TorchCheckpointIO"},
            },
        ],
        "max_time": "00:00:01:00",
    }
    made = Builder().build_values(nodes, "trainer")
    assert [type(one).__name__ for one in (*made["callbacks"], *made["logger"], made["profiler"], made["strategy"], *made["plugins"])] == [
        "EarlyStopping",
        "CSVLogger",
        "SimpleProfiler",
        "DDPStrategy",
        "SLURMEnvironment",
        "AsyncCheckpointIO",
    ]
    assert made["max_time"] == "00:00:01:00"


def test_a_nested_operation_becomes_an_object():
    node = {
        "_target_": "nas_lightning.data.Augmentation",
        "operations": {"cutout": {"_target_": "nas_lightning.data.Cutout", "size": 4}},
    }
    made = build(node, "augmentation", AUGMENTATION)
    assert isinstance(made, Augmentation)
    assert made.operations == {"cutout": Cutout(size=4)}


def test_a_class_that_is_misspelt_is_refused_with_the_one_that_is_meant():
    with pytest.raises(InputError, match=r"did you mean nas_lightning\.training\.schedules\.Cosine\?"):
        build({"_target_": "nas_lightning.training.schedules.Cosin"})
    with pytest.raises(InputError, match=r"did you mean torch\.optim\.SGD\?"):
        build({"_target_": "torch.optim.SDG"}, role=OPTIMIZER)


@pytest.mark.parametrize(
    ("name", "role", "found"),
    [
        ("nas_lightning.schedule.Cosine", SCHEDULE, Cosine),
        ("nas_lightning.schedule.OriginalCosine", SCHEDULE, EpochwiseCosine),
        ("nas_lightning.objective.CrossEntropy", OBJECTIVE, CrossEntropy),
    ],
)
def test_a_class_by_the_name_of_an_older_version_is_found(name: str, role: Role, found: type):
    assert type(build({"_target_": name}, role=role)) is found


@pytest.mark.parametrize("name", ["Cosine", 3, None])
def test_a_target_that_is_no_dotted_path_is_refused(name: object):
    with pytest.raises(InputError, match=rf"^at\._target_: {name!r} must be the dotted path"):
        build({"_target_": name})


def test_an_unknown_argument_is_refused_with_the_likely_one():
    with pytest.raises(InputError, match=r"^schedule\.final_rl: is not a key; did you mean final_lr\?$"):
        build({"_target_": "nas_lightning.training.schedules.Cosine", "final_rl": 1}, "schedule")


@pytest.mark.parametrize("key", ["_partial_", "_args_", "_recursive_"])
def test_hydras_other_keys_of_a_node_are_refused(key: str):
    for role, name in ((SCHEDULE, "nas_lightning.training.schedules.Cosine"), (roles.DATASET, "nas_lightning.data.Digits")):
        with pytest.raises(InputError, match=rf"^at\.{key}: is not a key"):
            build({"_target_": name, key: True}, role=role)


def test_a_value_that_the_class_refuses_is_told_with_its_whole_place():
    with pytest.raises(InputError, match=r"^stages\.a\.schedule\.final_lr: -1 must be at least 0$"):
        build({"_target_": "nas_lightning.training.schedules.Cosine", "final_lr": -1}, "stages.a.schedule")


def test_whatever_a_library_raises_at_a_value_is_one_line():
    with pytest.raises(InputError, match=r"^trainer\.callbacks\[0\]: .*EarlyStopping does not take these values \(.*mode"):
        Builder().build_values(
            {"callbacks": [{"_target_": "pytorch_lightning.callbacks.EarlyStopping", "monitor": "loss", "mode": "up"}]}, "trainer"
        )


def test_text_where_a_number_is_due_is_told_with_its_place():
    with pytest.raises(InputError, match=r"^at\.label_smoothing: 'few' must be a number$"):
        build({"_target_": "nas_lightning.training.objectives.CrossEntropy", "label_smoothing": "few"}, role=OBJECTIVE)
    with pytest.raises(InputError, match=r"^trainer\.callbacks\[0\]\.save_top_k: 'few' must be a number$"):
        Builder().build_values({"callbacks": [{"_target_": f"{PL}.callbacks.ModelCheckpoint", "save_top_k": "few"}]}, "trainer")


def test_a_library_that_cannot_do_with_null_is_told_with_what_is_null():
    node = {"_target_": "torchvision.transforms.v2.RandomCrop", "size": None, "padding": 4}
    with pytest.raises(InputError, match=r"RandomCrop does not take these values \(.*; size is null\)$"):
        Builder().build(Target({"_target_": "nas_lightning.data.PerImage", "transforms": {"crop": node}}, AUGMENTATION), "augmentation")


def test_offered_arguments_give_way_to_the_config(plugin: str):
    builder = Builder((plugin,)).offering(number=7, unknown=3)

    def built(node: dict[str, Any]) -> Any:
        return builder.build(Target(node, SCHEDULE), "at")

    assert built({"_target_": f"{plugin}.Holder", "inner": 1}).number == 7
    assert built({"_target_": f"{plugin}.Holder", "inner": 1, "number": 2}).number == 2
    assert built({"_target_": "nas_lightning.training.schedules.Cosine"}) == Cosine()


def test_an_object_can_be_made_later_with_its_last_argument():
    make = Builder().build(Target({"_target_": "torch.optim.SGD", "lr": 0.5}, OPTIMIZER, is_partial=True), "optimizer")
    assert make([torch.nn.Parameter(torch.zeros(2))]).param_groups[0]["lr"] == 0.5
