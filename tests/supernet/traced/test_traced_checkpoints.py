"""Checkpoints of traced networks: rebuilt without pickle or download, compared with what is traced now, refused in one line."""

import json
import pickle
import socket
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from nas_lightning.config import build
from nas_lightning.config.build import import_plugins
from nas_lightning.errors import InputError
from nas_lightning.supernet.checkpoint import HEADER_KEY, load_supernet, make_header, read_header, save_supernet
from nas_lightning.supernet.families import family_from_header
from nas_lightning.supernet.traced import TracedFamily, TracedSupernet, Widths, program
from nas_lightning.supernet.traced import family as families
from nas_lightning.supernet.traced.source import NetworkSource
from nas_lightning.supernet.traced.trace import trace
from tests.supernet.refusal import refusal
from tests.supernet.test_weight_files import BOTH, Save
from tests.supernet.traced.grey import Plain
from tests.supernet.traced.networks import images_of

DATA = {"name": "digits", "arguments": {"split_seed": 0}, "mean": [0.5], "std": [0.25]}
HERE = "tests.supernet.traced"
PLAIN = {"_target_": f"{HERE}.grey.Plain", "widths": [12, 16, 20]}
FINE = Widths(divisor=1, least=1, overrides={"last": {"ratios": [0.5, 1.0]}})


@pytest.fixture(autouse=True)
def _plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the command line would have allowed; nothing is rebuilt from memory."""
    monkeypatch.setattr(build, "IMPORTED", build.IMPORTED)
    before = set(build.IMPORTED)
    build.IMPORTED.clear()
    families._known.clear()
    yield
    build.IMPORTED.clear()
    build.IMPORTED.update(before)
    families._known.clear()


@cache
def _own() -> TracedFamily:
    return TracedFamily(NetworkSource.for_classes(PLAIN, "classes", 7, [HERE]), "plain", 7, 1, 8, FINE, fixed=["head"], tie=["[si]*"])


def own(norm: str = "batch") -> TracedSupernet:
    """Of a class of the user's."""
    return _own().supernet(norm, 1)


def of_torchvision(name: str, side: int = 32) -> TracedSupernet:
    source = NetworkSource.for_classes({"_target_": f"torchvision.models.{name}"}, "num_classes", 5, [])
    return TracedFamily(source, name, 5, 3, side).supernet("running", 1)


def saved(path: Path, supernet: TracedSupernet, **changes: Any) -> Path:
    """A file whose header is changed."""
    header = make_header(supernet, DATA)
    save_supernet(path, supernet, {**header, "supernet": {**header["supernet"], **changes}})
    return path


@pytest.mark.parametrize(("save", "name"), BOTH)
@pytest.mark.parametrize("norm", ["batch", "running"])
def test_a_network_of_ones_own_comes_back(tmp_path: Path, save: Save, name: str, norm: str):
    supernet, images = own(norm), torch.randn(6, 1, 8, 8)
    supernet.train()(images, supernet.space.largest)  # moves averages, if it has any
    header = make_header(supernet, DATA)
    save(tmp_path / name, supernet, header)  # type: ignore[arg-type]
    loaded, found = load_supernet(tmp_path / name, plugins=[HERE])
    assert found == header == read_header(tmp_path / name) == json.loads(json.dumps(header))
    assert loaded.header() == supernet.header()
    assert not loaded.training
    assert loaded.space == supernet.space
    for key, tensor in supernet.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], tensor), key
    smallest = supernet.space.smallest
    assert torch.equal(loaded(images, smallest), supernet.eval()(images, smallest))
    assert loaded.family.tie == ["[si]*"]


@pytest.mark.slow
def test_a_network_of_torchvision_comes_back(tmp_path: Path):
    supernet, images = of_torchvision("squeezenet1_1"), images_of(32).float()
    loaded, _ = load_supernet(saved(tmp_path / "supernet.safetensors", supernet))
    assert torch.equal(loaded(images, loaded.space.smallest), supernet.eval()(images, loaded.space.smallest))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["densenet121", "googlenet", "mobilenet_v2"])
def test_a_large_network_of_torchvision_comes_back(tmp_path: Path, name: str):
    source = NetworkSource.for_classes({"_target_": f"torchvision.models.{name}"}, "num_classes", 5, [])
    supernet = TracedFamily(source, name, 5, 3, 64, Widths(step=8)).supernet("batch", 1)
    loaded, _ = load_supernet(saved(tmp_path / "supernet.safetensors", supernet))
    assert loaded.header() == supernet.header()


@pytest.mark.slow
def test_a_network_of_timm_comes_back_where_timm_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "timm.py").write_text(
        f"from {HERE}.grey import Plain\n"
        "list_models = lambda: ['plain']\n"
        "def create_model(model_name, pretrained=False, num_classes=10, **kwargs):\n"
        "    assert not pretrained and model_name == 'plain'\n"
        "    return Plain(num_classes, **kwargs)\n"
    )
    monkeypatch.setitem(sys.modules, "timm", None)  # the real one, if another test has imported it, comes back afterwards
    del sys.modules["timm"]
    monkeypatch.syspath_prepend(tmp_path)
    source = NetworkSource.for_classes({"_target_": "timm.plain", "widths": [8, 8, 8]}, "num_classes", 7, ["timm"])
    path = saved(tmp_path / "supernet.safetensors", TracedFamily(source, "plain", 7, 1, 8, FINE).supernet("batch", 0))
    assert "timm.plain is not allowed as a network" in refusal(path)
    import_plugins(["timm"])
    assert load_supernet(path)[0].space.largest.widths == (8, 8, 8)
    for target in ("timm.create_model", "timm.plan"):
        assert f"timm has no network {target[5:]}" in refusal(saved(path, own(), network={"_target_": target}))


def test_the_file_feeds_the_user_s_class_at_full_width(tmp_path: Path):
    supernet = own("running")
    tensors = load_file(saved(tmp_path / "supernet.safetensors", supernet))
    alone = Plain(7)
    missing = alone.load_state_dict({name.removeprefix("network."): tensor for name, tensor in tensors.items()}, strict=False)
    assert all(name.endswith("num_batches_tracked") for name in missing.missing_keys)
    images = torch.randn(4, 1, 8, 8)
    torch.testing.assert_close(alone.eval()(images), supernet.eval()(images, supernet.space.largest))


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "torch.load",
        "torchvision.models.get_model",
        "timm.create_model",
        f"{HERE}.grey.Plain",
        "torch.nn.Identity",
        "",
        None,
        3,
    ],
)
def test_a_target_outside_the_lists_is_refused_and_not_called(tmp_path: Path, target: object):
    text = refusal(saved(tmp_path / "a.safetensors", own(), network={"_target_": target, "command": f"touch {tmp_path}/ran"}))
    assert "is not allowed as a network" in text or "must be the dotted path of a class" in text
    assert not (tmp_path / "ran").exists()


def test_what_is_no_network_of_an_allowed_package_is_refused(tmp_path: Path):
    import_plugins([HERE])
    for target, line in (("grey.Sequence", "is not defined below"), ("networks.images_of", "is not a class"), ("grey.None", "there is no")):
        assert line in refusal(saved(tmp_path / "a.safetensors", own(), network={"_target_": f"{HERE}.{target}"}))


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"network": {**PLAIN, "classes": 7, "widths": [12, 16, 24]}}, "tensors differ, such as network."),
        ({"network": {**PLAIN, "classes": 7, "depth": 3}}, "network.depth: is not a key"),
        ({"network": {**PLAIN, "classes": 7, "widths": "many"}}, "does not take these values"),
        ({"network": [PLAIN]}, "its network is no mapping with _target_"),
        (
            {"widths": {"ratios": [0.5, 1.0]}},
            "(choice 1: stem.0 of 8, 12 here, stem.0 of 3, 6, 9, 12 there)",
        ),
        ({"widths": {"ratio": 1}}, "unexpected keyword"),
        ({"widths": 3}, "Widths"),
        ({"fixed": ["nothing"]}, "network.fixed: nothing matches no layer"),
        ({"fixed": 3}, "not iterable"),
        ({"tie": []}, "it was made from another tests.supernet.traced.grey.Plain (3 choices here, 2 there)"),
        ({"ties": "0"}, "tensors of other shapes, or other channels that are tied"),
        ({"classes": 8}, "plain has 7 outputs, but the images have 8 classes"),
        ({"channels": 3}, "does not run on images of (2, 3, 8, 8)"),
        ({"channels": 10**9}, "network: channels: 1000000000 must be an integer from 1 to 16"),
        ({"norm": "layer"}, "'layer' is not a valid NormStatistics"),
        ({"kind": "residual"}, "does not hold the supernet that its header names"),
    ],
)
def test_another_network_than_the_one_that_was_traced_is_one_line(tmp_path: Path, changes: dict[str, Any], line: str):
    import_plugins([HERE])
    assert line in refusal(saved(tmp_path / "a.safetensors", own(), **changes))


def squared(self: Plain, images: torch.Tensor) -> torch.Tensor:
    return Plain.narrowly(self, images).square()  # type: ignore[attr-defined]


def test_a_class_that_computes_something_else_by_now_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = saved(tmp_path / "supernet.safetensors", own())
    older = saved(tmp_path / "older.safetensors", own(), answers=None)
    load_supernet(path, plugins=[HERE])
    families._known.clear()
    monkeypatch.setattr(Plain, "narrowly", Plain.forward, raising=False)
    monkeypatch.setattr(Plain, "forward", squared)
    assert "it was made from another tests.supernet.traced.grey.Plain: an operation, a stride or a constant of it has" in refusal(path)
    load_supernet(older, plugins=[HERE])  # nothing is known of what it computed
    for odd in ("many", [1.0, "two"], [float("nan")] * 14, {"0": 1}):
        assert "it was made from another" in refusal(saved(tmp_path / "odd.safetensors", own(), answers=odd))


def test_masks_and_indices_come_back(tmp_path: Path):
    source = NetworkSource.for_classes({"_target_": f"{HERE}.grey.Masked"}, "classes", 7, [HERE])
    supernet = TracedFamily(source, "masked", 7, 1, 8, FINE).supernet("batch", 1).eval()
    loaded, _ = load_supernet(saved(tmp_path / "supernet.safetensors", supernet), plugins=[HERE])
    images = torch.randn(4, 1, 8, 8)
    assert torch.equal(loaded(images, loaded.space.smallest), supernet(images, supernet.space.smallest))


def test_more_widths_than_a_header_holds_are_refused_before_training(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("nas_lightning.supernet.checkpoint.MOST_VALUES", 30)
    with pytest.raises(InputError, match=r"network\.widths: plain has too many widths for a checkpoint; give ratios"):
        make_header(own(), DATA)


def test_an_altered_choice_is_named(tmp_path: Path):
    import_plugins([HERE])
    space = own().space.header()
    line = "it was made from another tests.supernet.traced.grey.Plain (choice 2: last of 10, 20 here, last of 5, 20 there)"
    assert line in refusal(saved(tmp_path / "a.safetensors", own(), space={**space, "choices": [space["choices"][0], [5, 20]]}))
    assert "images of 8 pixels here, 9 there" not in refusal(saved(tmp_path / "a.safetensors", own(), space={**space, "resolution": 10**6}))


def test_missing_and_extra_tensors_are_refused_before_anything_is_made(tmp_path: Path):
    import_plugins([HERE])
    supernet = own()
    supernet.network.head.register_parameter("more", torch.nn.Parameter(torch.zeros(3)))
    assert "tensors differ, such as network.head.more" in refusal(saved(tmp_path / "a.safetensors", supernet))
    supernet = own()
    supernet.network.head.weight = None
    assert "tensors differ, such as network.head.weight" in refusal(saved(tmp_path / "a.safetensors", supernet))


def test_a_network_far_larger_than_its_file_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    header = make_header(own(), DATA)
    header["supernet"]["network"] = {"_target_": "torchvision.models.vgg16", "num_classes": 5}
    tensors = {"network.features.0.weight": torch.zeros(64, 3, 3, 3)}
    save_file(tensors, tmp_path / "a.safetensors", {HEADER_KEY: json.dumps(header)})
    monkeypatch.setattr(TracedFamily, "from_header", lambda *_: pytest.fail("it was made"))
    assert "134,281,029 numbers, and 1,728 in the file" in refusal(tmp_path / "a.safetensors")


@pytest.mark.parametrize("argument", ["weights", "weights_backbone", "pretrained", "checkpoint_path", "pretrained_cfg", "cache_dir"])
def test_a_header_that_asks_for_weights_downloads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argument: str):
    monkeypatch.setattr(socket, "socket", lambda *_, **__: pytest.fail("it connects"))
    node = {"_target_": "torchvision.models.squeezenet1_1", "num_classes": 5, argument: "DEFAULT"}
    assert f"network.{argument}: cannot be given here" in refusal(saved(tmp_path / "a.safetensors", own(), network=node))


def test_a_family_is_traced_once_for_all_its_checkpoints_and_again_in_another_process():
    import_plugins([HERE])
    header = own().header()
    family = family_from_header(header)
    assert family_from_header(dict(header)) is family
    build.IMPORTED.clear()
    with pytest.raises(InputError, match="is not allowed as a network"):  # what was allowed once is not remembered
        family_from_header(header)
    again = pickle.loads(pickle.dumps(family))
    assert again is not family
    assert again.header() == family.header()


def test_a_network_that_a_process_trains_is_not_traced_again_for_its_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    build.IMPORTED.add(HERE)
    family, traces = _own(), list[bool]()
    monkeypatch.setattr(program, "trace", lambda module, images, free: traces.append(free) or trace(module, images, free))
    family.remember()
    path = saved(tmp_path / "supernet.safetensors", own())
    loaded, _ = load_supernet(path)
    assert not traces
    for name, tensor in own().state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], tensor, rtol=0, atol=0)
    load_supernet(path, free_sides=True)
    assert traces == [True]
    load_supernet(path)
    assert traces == [True]
    families._known.clear()
    load_supernet(path)
    assert traces == [True, False]
