"""Paths that learn from the largest network or from a fixed one, against the losses written out."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from nas_lightning.data import Digits
from nas_lightning.data.check import describe
from nas_lightning.errors import InputError
from nas_lightning.export.formats import write_safetensors
from nas_lightning.rng import generator
from nas_lightning.space import Architecture, SearchSpace
from nas_lightning.supernet import ResidualFamily, Supernet
from nas_lightning.supernet.checkpoint import make_header, save_supernet
from nas_lightning.training.objectives import AlphaDivergence, FixedTeacher, KLDivergence, Objective, SandwichDistillation

SPACE = SearchSpace("tiny", (1, 1, 1), (8, 12, 16), 2, 8)
DIGITS = Digits(resolution=8, train_images=200)
EXACT = {"rtol": 1e-10, "atol": 1e-10}
RNG = generator(0, "test")
FIRST, SECOND, THIRD = (SPACE.sample(RNG) for _ in range(3))
PATHS = {
    "a sandwich": [SPACE.largest, SPACE.smallest, FIRST],
    "without the largest": [FIRST, SECOND, THIRD],
    "the largest twice": [FIRST, SPACE.largest, SPACE.largest],
    "one twice": [SPACE.largest, FIRST, FIRST],
    "the largest alone": [SPACE.largest],
}


@pytest.fixture
def supernet() -> Supernet:
    return Supernet(SPACE, classes=10, channels=1).double()


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    return torch.randn(6, 1, 8, 8, generator=rng, dtype=torch.float64), torch.randint(10, (6,), generator=rng)


@pytest.fixture
def teacher() -> Supernet:
    return Supernet(SPACE, classes=10, channels=1, seed=7).eval()


@pytest.fixture
def checkpoint(teacher: Supernet, tmp_path: Path) -> Path:
    save_supernet(tmp_path / "supernet.safetensors", teacher, make_header(teacher, describe(DIGITS)))
    return tmp_path / "supernet.safetensors"


def gradients_of_passes(objective: Objective, supernet: Supernet, batch: tuple[Tensor, Tensor], paths: Sequence[Architecture]) -> Any:
    """The losses' sum, and the gradients that one backward a pass leaves."""
    supernet.zero_grad()
    total = torch.zeros((), dtype=torch.float64)
    for one in objective(supernet, *batch, paths):
        one.loss.backward()
        total += one.loss.detach()
    return total, [parameter.grad for parameter in supernet.parameters()]


def of_sum(supernet: Supernet, loss: Tensor) -> Any:
    return loss.detach(), list(torch.autograd.grad(loss, list(supernet.parameters())))


@pytest.mark.parametrize("divergence", [KLDivergence(2.0), AlphaDivergence()])
@pytest.mark.parametrize(("hard", "soft", "smoothing"), [(0.0, 1.0, 0.0), (0.3, 0.7, 0.1)])
@pytest.mark.parametrize("paths", PATHS.values(), ids=PATHS)
def test_the_largest_learns_the_labels_once_and_the_others_its_answers(
    paths: list[Architecture],
    hard: float,
    soft: float,
    smoothing: float,
    divergence: Any,
    supernet: Supernet,
    batch: tuple[Tensor, Tensor],
) -> None:
    images, labels = batch
    largest = supernet(images, SPACE.largest)
    expected = F.cross_entropy(largest, labels, label_smoothing=smoothing)
    for path in paths:
        if path != SPACE.largest:
            student = supernet(images, path)
            expected = expected + hard * F.cross_entropy(student, labels, label_smoothing=smoothing)
            expected = expected + soft * divergence(student, largest.detach())
    objective = SandwichDistillation(SPACE, divergence, hard, soft, smoothing)
    torch.testing.assert_close(gradients_of_passes(objective, supernet, batch, paths), of_sum(supernet, expected), **EXACT)


@pytest.mark.parametrize("paths", PATHS.values(), ids=PATHS)
def test_the_largest_is_one_pass_and_a_path_if_it_was_drawn(
    paths: list[Architecture], supernet: Supernet, batch: tuple[Tensor, Tensor]
) -> None:
    objective = SandwichDistillation(SPACE)
    passes = list(objective(supernet, *batch, paths))
    assert objective.architectures(paths) == [SPACE.largest, *(path for path in paths if path != SPACE.largest)]
    assert len(passes) == len(objective.architectures(paths))
    assert [one.is_student for one in passes] == [SPACE.largest in paths] + [True] * (len(passes) - 1)
    for done, architecture in zip(passes, objective.architectures(paths), strict=True):
        torch.testing.assert_close(done.logits, supernet(batch[0], architecture))


@pytest.mark.parametrize("divergence", [KLDivergence(2.0), AlphaDivergence()])
@pytest.mark.parametrize(("hard", "soft", "smoothing"), [(0.5, 0.5, 0.0), (0.0, 2.0, 0.0), (0.3, 0.7, 0.1)])
def test_paths_learn_the_labels_and_a_fixed_supernets_largest_network(
    hard: float,
    soft: float,
    smoothing: float,
    divergence: Any,
    supernet: Supernet,
    teacher: Supernet,
    checkpoint: Path,
    batch: tuple[Tensor, Tensor],
) -> None:
    images, labels = batch
    answers, paths = teacher.double()(images, SPACE.largest).detach(), PATHS["one twice"]
    students = [supernet(images, path) for path in paths]
    hards = torch.stack([F.cross_entropy(student, labels, label_smoothing=smoothing) for student in students])
    softs = torch.stack([divergence(student, answers) for student in students])
    objective = FixedTeacher(str(checkpoint), DIGITS, divergence, hard, soft, smoothing)
    expected = of_sum(supernet, hard * hards.sum() + soft * softs.sum())
    torch.testing.assert_close(gradients_of_passes(objective, supernet, batch, paths), expected, **EXACT)
    assert objective.architectures(paths) == paths
    assert all(one.is_student for one in objective(supernet, *batch, paths))


def test_a_fixed_teacher_with_running_norms_answers_each_image_alone(
    batch: tuple[Tensor, Tensor], supernet: Supernet, tmp_path: Path
) -> None:
    with_averages = Supernet(SPACE, classes=10, channels=1, norm="running", seed=7)
    for _ in range(5):
        with_averages(batch[0].float(), SPACE.largest)
    save_supernet(tmp_path / "supernet.safetensors", with_averages, make_header(with_averages, describe(DIGITS)))
    objective = FixedTeacher(str(tmp_path / "supernet.safetensors"), DIGITS)
    before = objective.answers(batch[0])
    gradients_of_passes(objective, supernet, batch, PATHS["a sandwich"])
    torch.testing.assert_close(objective.answers(batch[0]), before, rtol=0, atol=0)  # nor have its averages moved
    torch.testing.assert_close(torch.cat([objective.answers(image[None]) for image in batch[0]]), before)
    assert not before.requires_grad


def test_a_fixed_teacher_without_averages_takes_the_batchs_statistics(checkpoint: Path, batch: tuple[Tensor, Tensor]) -> None:
    objective = FixedTeacher(str(checkpoint), DIGITS)
    whole, half = objective.answers(batch[0]), objective.answers(batch[0][:3])
    assert not torch.allclose(whole[:3], half, rtol=0.01)


def exported(folder: Path, family: ResidualFamily, architecture: Architecture) -> tuple[Path, torch.nn.Module]:
    """A network in a file as nas-export writes it, with averages of its own."""
    network = family.alone(architecture, "running", seed=3)
    for _ in range(5):
        network(torch.randn(4, 1, 8, 8))
    described = {"architecture": family.space.text(architecture), "structure": family.header(), "data": describe(DIGITS)}
    write_safetensors(folder / "network.safetensors", network, {"format": 1, "family": "residual", **described})
    return folder / "network.safetensors", network.eval()


def test_an_exported_network_of_any_space_is_a_fixed_teacher(tmp_path: Path, batch: tuple[Tensor, Tensor]) -> None:
    other = SearchSpace("other", (2, 1), (8, 16), 4, 8)
    path, network = exported(tmp_path, ResidualFamily(other, 10, 1), Architecture((8, 4, 8, 8, 8, 16, 12)))
    answers = FixedTeacher(str(path), DIGITS).answers(batch[0])
    torch.testing.assert_close(answers, network.double()(batch[0]), **EXACT)


def test_a_fixed_teacher_takes_the_precision_of_the_images(checkpoint: Path, batch: tuple[Tensor, Tensor]) -> None:
    objective = FixedTeacher(str(checkpoint), DIGITS)
    for dtype in (torch.float64, torch.float32):
        assert objective.answers(batch[0].to(dtype)).dtype == dtype


def refused(path: Path, dataset: Digits = DIGITS) -> str:
    with pytest.raises(InputError) as error:
        FixedTeacher(str(path), dataset)
    return str(error.value)


def test_a_file_that_cannot_teach_is_refused_before_any_step(checkpoint: Path, tmp_path: Path) -> None:
    assert refused(tmp_path / "absent.ckpt") == f"objective.checkpoint: {tmp_path}/absent.ckpt is not a file"
    (tmp_path / "text.safetensors").write_text("no weights")
    assert refused(tmp_path / "text.safetensors").startswith(f"objective.checkpoint: {tmp_path}/text.safetensors is not a whole safet")
    assert "supernet.safetensors was trained on images with mean " in refused(checkpoint, Digits(8, train_images=20))
    path, _ = exported(tmp_path, ResidualFamily(SPACE, 7, 1), SPACE.largest)
    assert refused(path) == f"objective.checkpoint: {path} was trained on images with classes 7, but those of digits have 10"
    path.write_bytes(path.read_bytes()[:-100])
    assert refused(path).startswith(f"objective.checkpoint: {path} is not a whole")


@pytest.mark.parametrize("make", [partial(SandwichDistillation, SPACE), partial(FixedTeacher, "absent", DIGITS)])
@pytest.mark.parametrize(("key", "value"), [("hard_weight", -1), ("soft_weight", -0.1), ("label_smoothing", 1.0), ("divergence", 3)])
def test_values_that_make_no_sense_are_refused(make: Any, key: str, value: float) -> None:
    with pytest.raises(InputError, match=f"^objective.{key}: {value} must be "):
        make(**{key: value})
