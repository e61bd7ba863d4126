"""A candidate of a traced network taken out: as its own class or as a graph, with norms of its own, checked like any other."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from nas_lightning.data import Digits
from nas_lightning.errors import InputError
from nas_lightning.export import cut_out
from nas_lightning.export.calibration import calibrate, scaled
from nas_lightning.export.settings import ExportSettings
from nas_lightning.space import Architecture
from nas_lightning.supernet import cut
from nas_lightning.supernet.layers import with_running_norms
from nas_lightning.supernet.network_weights import load_network
from nas_lightning.supernet.traced import TracedFamily, TracedSupernet, Widths
from nas_lightning.supernet.traced.source import NetworkSource
from tests.supernet.traced.grey import Counting, Plain, Summing

DIGITS = Digits(8, 200)
OWN = Architecture((6, 12, 15))
SETTINGS = ExportSettings(images=300, batch_size=90)


def supernet_of(kind: type[nn.Module], norm: str = "batch") -> TracedSupernet:
    source = NetworkSource({"_target_": f"tests.supernet.traced.grey.{kind.__name__}", "classes": 10}, ("tests",))
    return TracedFamily(source, "grey", 10, 1, 8, Widths(divisor=1, least=1)).supernet(norm, 0).eval()


def export(supernet: TracedSupernet, folder: Path, settings: ExportSettings = SETTINGS) -> dict:
    (folder / "supernet").write_text("weights")
    card, _ = cut_out.cut_out(supernet, OWN, DIGITS, folder / "supernet", folder / "export", settings, {})
    return card


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["batch", "running"])
@pytest.mark.parametrize("kind", [Plain, Counting])
def test_each_file_gives_the_logits_of_the_network_with_norms_of_its_own(kind: type[nn.Module], norm: str, tmp_path: Path):
    supernet = supernet_of(kind, norm)
    card = export(supernet, tmp_path)
    folder, images = tmp_path / "export/6-12-15", scaled(DIGITS, DIGITS.test().images[:9])
    assert set(card["files"]) == {"network.safetensors", "network.py", "network.pt2", "network.onnx"}
    network = kind(10, OWN.widths)  # the user's class, written with these widths
    network.load_state_dict(cut(supernet, OWN).state_dict(), strict=False)
    told = calibrate(network, DIGITS, 200, 90)
    assert told["sha256"] == card["origin"]["calibration"]["sha256"]
    weights = load_file(folder / "network.safetensors")
    assert weights.keys() == network.state_dict().keys()
    network.load_state_dict(weights)
    expected = network.eval()(images).detach()
    found = torch.export.load(folder / "network.pt2").module()(images).detach()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    session = onnxruntime.InferenceSession(folder / "network.onnx", providers=["CPUExecutionProvider"])
    for count in (1, 9):
        (logits,) = session.run(["logits"], {"images": images[:count].numpy()})
        np.testing.assert_allclose(logits, expected[:count], rtol=0, atol=1e-5)
    cost = supernet.structure.cost([OWN.widths])
    assert card["cost"]["parameters"] == cost.parameters[0] == sum(weights.numel() for weights in network.parameters())
    assert card["cost"]["multiply_adds"] == cost.multiply_adds[0]
    header = json.loads(session.get_modelmeta().custom_metadata_map["network"])
    assert header["arguments"] == {"widths": dict(zip(supernet.space.names, OWN.widths, strict=True))}
    text = (folder / "card.md").read_text()
    assert "network.py with network.pt2; needs torch" in text
    assert "with the weights in the file; needs the package of its class" in text


@pytest.mark.slow
def test_the_program_next_to_the_files_needs_torch_alone(tmp_path: Path):
    export(supernet_of(Counting), tmp_path, ExportSettings(images=100, batch_size=90, formats=["pt2"]))
    folder = tmp_path / "export/6-12-15"
    assert {path.name for path in folder.iterdir()} == {"network.pt2", "network.py", "card.json", "card.md"}
    program = (
        "import network, sys; print(network.load('network.pt2')[1]['classes'])\nassert not {'safetensors', 'tests'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == str([str(digit) for digit in range(10)]), done.stderr


def test_weights_alone_are_written_without_a_program_that_could_not_run_them(tmp_path: Path):
    export(supernet_of(Plain), tmp_path, ExportSettings(images=100, batch_size=90, formats=["safetensors"]))
    assert {path.name for path in (tmp_path / "export/6-12-15").iterdir()} == {"network.safetensors", "card.json", "card.md"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Plain, Counting])
def test_an_export_is_read_again_as_the_same_network(kind: type[nn.Module], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    export(supernet_of(kind), tmp_path, ExportSettings(images=100, batch_size=90, formats=["safetensors", "pt2"]))
    path = tmp_path / "export/6-12-15/network.safetensors"
    monkeypatch.setattr("nas_lightning.supernet.traced.source.IMPORTED", set())  # another test may have named packages
    with pytest.raises(
        InputError, match=rf"start: .* cannot be read: network._target_: tests.*{kind.__name__} is not allowed as a network"
    ):
        load_network(path, "start")
    monkeypatch.setattr("nas_lightning.supernet.traced.source.IMPORTED", {"tests"})
    saved = load_network(path, "start")
    assert (saved.architecture, saved.family.name, saved.data["name"]) == (OWN, "traced", "digits")
    assert isinstance(saved.network, Plain if kind is Plain else torch.fx.GraphModule)
    images = scaled(DIGITS, DIGITS.test().images[:9])
    expected = torch.export.load(path.with_name("network.pt2")).module()(images)
    torch.testing.assert_close(saved.network(images), expected, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_an_export_that_is_read_for_any_sides_answers_smaller_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    export(supernet_of(Summing), tmp_path, ExportSettings(images=100, batch_size=90, formats=["safetensors"]))
    path = tmp_path / "export/6-12-15/network.safetensors"
    monkeypatch.setattr("nas_lightning.supernet.traced.source.IMPORTED", {"tests"})
    saved = load_network(path, "checkpoint", free_sides=True)
    assert isinstance(saved.network, torch.fx.GraphModule)
    network = Summing(10, OWN.widths)  # the user's class, written with these widths
    network.load_state_dict(load_file(path), strict=False)
    images = scaled(DIGITS, DIGITS.test().images[:9])[:, :, 1:7, 1:7]
    torch.testing.assert_close(saved.network(images), network.eval()(images), rtol=0, atol=1e-5)


def test_dropout_is_no_part_of_the_norms():
    network = with_running_norms(cut(supernet_of(Plain), OWN))
    calibrate(network, DIGITS, 200, 200)
    assert isinstance(network, Plain)
    kept, seen = network.inner[1].running_mean.clone(), list[torch.Tensor]()
    network.inner[0].register_forward_hook(lambda _, __, output: seen.append(output.mean((0, 2, 3))))
    norm = network.stem[1]
    norm.running_mean, norm.running_var, norm.track_running_stats = None, None, False  # the statistics of the batch, as in calibration
    network(scaled(DIGITS, DIGITS.train().images))
    torch.testing.assert_close(kept, seen[0], rtol=1e-4, atol=1e-5)
    assert [norm.momentum for norm in network.modules() if isinstance(norm, nn.BatchNorm2d)] == [0.1] * 3


@pytest.mark.slow
def test_what_only_rounds_is_told_from_a_wrong_network_in_double_precision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cut_out, "limit_of", lambda logits: 1e-9 if logits.dtype is torch.float64 else -1.0)
    (tmp_path / "right").mkdir()
    settings = ExportSettings(images=100, batch_size=90, formats=["safetensors"])
    card = export(supernet_of(Plain), tmp_path / "right", settings)
    assert card["checks"]["differences"]["cut_from_slice"] < 1e-9

    def other(supernet: TracedSupernet, architecture: Architecture) -> nn.Module:
        network = cut(supernet, architecture)
        with torch.no_grad():
            network.head.bias[3] += 1e-6
        return network

    monkeypatch.setattr(cut_out, "cut", other)
    with pytest.raises(InputError, match="refused, as logits of the network cut out and of the slice differ by 1e-06"):
        export(supernet_of(Plain), tmp_path)
    assert not (tmp_path / "export").exists()
