"""Trained weights as a start: what fits is taken, what cannot be had is one line."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from nas_lightning.errors import InputError
from nas_lightning.supernet.traced import TracedFamily, Widths
from nas_lightning.supernet.traced.source import NetworkSource
from nas_lightning.supernet.traced.weights import trained_weights
from tests.supernet.traced.grey import Plain

HERE = "tests.supernet.traced"
FINE = Widths(divisor=1, least=1)


def family(path: Path, sort: str = "none", classes: int = 7) -> TracedFamily:
    source = NetworkSource.for_classes({"_target_": f"{HERE}.grey.Plain"}, "classes", classes, [HERE])
    return TracedFamily(source, "plain", classes, 1, 8, FINE, sort=sort, weights=str(path))


def trained(path: Path, **others: torch.Tensor) -> Plain:
    """A network in evaluation mode whose tensors stand in a file."""
    torch.manual_seed(3)
    network = Plain(7)
    network.train()(torch.randn(50, 1, 8, 8))  # moves averages
    save_file({**network.state_dict(), **others}, path)
    return network.eval()


def test_a_supernet_begins_with_the_weights_and_a_candidate_alone_does_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    network, images = trained(tmp_path / "a.safetensors"), torch.randn(5, 1, 8, 8)
    supernet = family(tmp_path / "a.safetensors").supernet("running", 0).eval()
    torch.testing.assert_close(supernet(images, supernet.space.largest), network(images))
    assert "network.weights: 19 of 19 tensors from" in capsys.readouterr().err
    alone = family(tmp_path / "a.safetensors").alone(supernet.space.largest, "running", 0)
    assert not torch.equal(alone.last.weight, network.last.weight)


def test_sorted_weights_compute_the_same_and_keep_the_largest_filters(tmp_path: Path):
    network, images = trained(tmp_path / "a.safetensors"), torch.randn(5, 1, 8, 8)
    supernet = family(tmp_path / "a.safetensors", sort="l1").supernet("running", 0).eval()
    torch.testing.assert_close(supernet(images, supernet.space.largest), network(images))
    assert not torch.equal(supernet.network.last.weight, network.last.weight)
    sizes = supernet.network.last.weight.abs().flatten(1).sum(1)
    assert bool((sizes.diff() <= 0).all())


def test_a_classifier_of_other_classes_stays_as_at_the_start_of_a_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    network = trained(tmp_path / "a.safetensors")
    supernet = family(tmp_path / "a.safetensors", classes=5).supernet("batch", 0)
    assert torch.equal(supernet.network.last.weight, network.last.weight)
    assert "network.weights: 11 of 13 tensors" in (line := capsys.readouterr().err)
    assert line.rstrip().endswith("; as at the start of a training: head.weight, head.bias")


def test_weights_of_another_network_are_one_line(tmp_path: Path):
    save_file({"stem.0.weight": torch.zeros(3)}, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match=r"^network\.weights: .* has 0 of the network's 13 tensors; it lacks .* of \(.*\)$"):
        family(tmp_path / "a.safetensors").supernet("batch", 0)


def test_weights_that_cannot_be_fetched_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("torch.hub.urlopen", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    source = NetworkSource.for_classes({"_target_": "torchvision.models.squeezenet1_1"}, "num_classes", 10, [])
    with pytest.raises(
        InputError, match=r"^network.weights: DEFAULT of torchvision.models.squeezenet1_1 cannot be fetched \(no route to host\)$"
    ):
        trained_weights("DEFAULT", source)
    with pytest.raises(InputError, match=r"^network\.weights: IMAGENET is not one of DEFAULT, IMAGENET1K_V1, nor a file"):
        trained_weights("IMAGENET", source)
