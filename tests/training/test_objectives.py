"""What candidates learn, against formulas written out."""

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from nas_lightning.errors import InputError
from nas_lightning.rng import generator
from nas_lightning.space import Architecture, SearchSpace
from nas_lightning.supernet import Supernet
from nas_lightning.training.objectives import CrossEntropy, InplaceDistillation, Objective
from nas_lightning.training.objectives.objectives import cross_entropy, soft_cross_entropy

torch.set_num_threads(1)  # two busy processes of two threads each slow one another down many times

SPACE = SearchSpace("tiny", (1, 1, 1), (8, 12, 16), 2, 8)
EXACT = {"rtol": 1e-10, "atol": 1e-10}


@pytest.fixture
def supernet() -> Supernet:
    return Supernet(SPACE, classes=5).double()


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    return torch.randn(6, 3, 8, 8, generator=rng, dtype=torch.float64), torch.randint(5, (6,), generator=rng)


def drawn(count: int) -> list[Architecture]:
    rng = generator(0, "test")
    return [SPACE.sample(rng) for _ in range(count)]


def gradients_of_passes(
    objective: Objective, supernet: Supernet, batch: tuple[Tensor, Tensor], paths: Sequence[Architecture]
) -> tuple[Tensor, list[Tensor]]:
    """The losses' sum, and the gradients that one backward a pass leaves."""
    supernet.zero_grad()
    total = torch.zeros((), dtype=torch.float64)
    for one in objective(supernet, *batch, paths):
        one.loss.backward()
        total += one.loss.detach()
    return total, [parameter.grad.clone() for parameter in supernet.parameters() if parameter.grad is not None]


def gradients_of_sum(supernet: Supernet, loss: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(supernet.parameters())))


def soft_by_hand(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Mean over images of - sum over classes of teacher probability * log student probability."""
    p = torch.exp(teacher / temperature) / torch.exp(teacher / temperature).sum(dim=1, keepdim=True)
    q = torch.exp(student / temperature) / torch.exp(student / temperature).sum(dim=1, keepdim=True)
    return -(p * q.log()).sum() / len(student)


def literal_distillation(
    supernet: Supernet,
    batch: tuple[Tensor, Tensor],
    paths: Sequence[Architecture],
    hard: float = 0.5,
    soft: float = 2.0,
    temperature: float = 1.0,
) -> Tensor:
    """The authors' step: for every path a pass of its own and one of the largest, 12 for six paths."""
    images, labels = batch
    total = torch.zeros((), dtype=torch.float64)
    for path in paths:
        student, largest = supernet(images, path), supernet(images, SPACE.largest)
        total = total + hard * (F.cross_entropy(student, labels) + F.cross_entropy(largest, labels))
        total = total + soft * temperature**2 * soft_by_hand(student, largest.detach(), temperature)
    return total


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_six_summed_backward_passes_equal_one_backward_of_the_sum(
    supernet: Supernet, batch: tuple[Tensor, Tensor], smoothing: float
) -> None:
    images, labels = batch
    paths = drawn(6)
    total, found = gradients_of_passes(CrossEntropy(smoothing), supernet, batch, paths)
    expected = torch.stack([F.cross_entropy(supernet(images, path), labels, label_smoothing=smoothing) for path in paths]).sum()
    torch.testing.assert_close(total, expected.detach(), **EXACT)
    torch.testing.assert_close(found, gradients_of_sum(supernet, expected), **EXACT)


@pytest.mark.parametrize(
    "paths",
    [
        pytest.param(drawn(6), id="six"),
        pytest.param(drawn(1), id="one"),
        pytest.param(drawn(3), id="three"),
        pytest.param([SPACE.largest], id="the largest itself"),
        pytest.param([*drawn(2), SPACE.largest], id="the largest among three"),
        pytest.param([drawn(1)[0]] * 2, id="one twice"),
    ],
)
def test_one_teacher_pass_equals_the_originals_literal_passes(
    supernet: Supernet, batch: tuple[Tensor, Tensor], paths: list[Architecture]
) -> None:
    total, found = gradients_of_passes(InplaceDistillation(SPACE), supernet, batch, paths)
    expected = literal_distillation(supernet, batch, paths)
    torch.testing.assert_close(total, expected.detach(), **EXACT)
    torch.testing.assert_close(found, gradients_of_sum(supernet, expected), **EXACT)


@pytest.mark.parametrize(("hard", "soft", "temperature"), [(1.0, 0.0, 1.0), (0.0, 1.0, 1.0), (0.3, 0.7, 4.0), (0.5, 2.0, 0.5)])
def test_weights_and_temperature_enter_as_in_the_formula(
    supernet: Supernet, batch: tuple[Tensor, Tensor], hard: float, soft: float, temperature: float
) -> None:
    paths = drawn(3)
    total, found = gradients_of_passes(InplaceDistillation(SPACE, hard, soft, temperature), supernet, batch, paths)
    expected = literal_distillation(supernet, batch, paths, hard, soft, temperature)
    torch.testing.assert_close(total, expected.detach(), **EXACT)
    torch.testing.assert_close(found, gradients_of_sum(supernet, expected), **EXACT)


def test_the_teacher_learns_nothing_from_its_students(supernet: Supernet, batch: tuple[Tensor, Tensor]) -> None:
    first, *students = InplaceDistillation(SPACE, hard_weight=0.0)(supernet, *batch, [SPACE.smallest])
    assert not any(gradient.any() for gradient in torch.autograd.grad(first.loss, list(supernet.parameters())))
    (student,) = students
    widest = supernet.classifier.full.weight
    (gradient,) = torch.autograd.grad(student.loss, [widest])
    assert gradient[:, : SPACE.smallest.widths[-1]].any()
    assert not gradient[:, SPACE.smallest.widths[-1] :].any()


@pytest.mark.parametrize("paths", [1, 3, 6])
def test_six_paths_take_seven_passes_with_distillation_and_six_without(
    paths: int, supernet: Supernet, batch: tuple[Tensor, Tensor]
) -> None:
    for objective, expected in ((CrossEntropy(), paths), (InplaceDistillation(SPACE), paths + 1)):
        passes = list(objective(supernet, *batch, drawn(paths)))
        assert len(objective.architectures(drawn(paths))) == len(passes) == expected
        assert sum(one.is_student for one in passes) == paths


def test_the_passes_that_are_paths_carry_the_paths_logits_in_order(supernet: Supernet, batch: tuple[Tensor, Tensor]) -> None:
    images, _ = batch
    for objective in (CrossEntropy(), InplaceDistillation(SPACE)):
        logits = [one.logits for one in objective(supernet, *batch, drawn(3)) if one.is_student]
        torch.testing.assert_close(logits, [supernet(images, path) for path in drawn(3)])
    teacher = next(one for one in InplaceDistillation(SPACE)(supernet, *batch, drawn(1)) if not one.is_student)
    torch.testing.assert_close(teacher.logits, supernet(images, SPACE.largest))


def test_a_pass_runs_only_when_asked_for_so_that_one_graph_is_alive(supernet: Supernet, batch: tuple[Tensor, Tensor]) -> None:
    ran: list[Architecture] = []

    def recorded(images: Tensor, architecture: Architecture) -> Tensor:
        ran.append(architecture)
        return supernet(images, architecture)

    for objective, expected in ((CrossEntropy(), drawn(4)), (InplaceDistillation(SPACE), [SPACE.largest, *drawn(4)])):
        assert objective.architectures(drawn(4)) == expected
        ran.clear()
        for asked, one in enumerate(objective(recorded, *batch, drawn(4)), start=1):
            assert ran == expected[:asked]
            one.loss.backward()  # without retain_graph: no later loss may need this pass again
        assert ran == expected


@pytest.mark.parametrize("temperature", [1.0, 0.5, 4.0])
def test_soft_cross_entropy_equals_brute_force(temperature: float) -> None:
    rng = torch.Generator().manual_seed(1)
    logits, teacher = torch.randn(2, 7, 11, generator=rng, dtype=torch.float64) * 3
    probabilities = (teacher / temperature).softmax(dim=1)
    expected = 0.0
    for row, target in zip(logits.tolist(), probabilities.tolist(), strict=True):
        total = sum(math.exp(value / temperature) for value in row)
        expected -= sum(p * math.log(math.exp(value / temperature) / total) for value, p in zip(row, target, strict=True))
    assert soft_cross_entropy(logits, probabilities, temperature).item() == pytest.approx(expected / 7, rel=1e-12)


def test_soft_cross_entropy_is_kl_divergence_plus_the_teachers_entropy() -> None:
    rng = torch.Generator().manual_seed(2)
    logits, teacher = torch.randn(2, 9, 4, generator=rng, dtype=torch.float64)
    probabilities = teacher.softmax(dim=1)
    divergence = F.kl_div(logits.log_softmax(dim=1), probabilities, reduction="batchmean")
    entropy = torch.distributions.Categorical(probs=probabilities).entropy().mean()
    torch.testing.assert_close(soft_cross_entropy(logits, probabilities), divergence + entropy, **EXACT)


def test_soft_cross_entropy_equals_torchs_with_probabilities() -> None:
    rng = torch.Generator().manual_seed(3)
    logits, teacher = torch.randn(2, 9, 4, generator=rng, dtype=torch.float64)
    torch.testing.assert_close(soft_cross_entropy(logits, teacher.softmax(1)), F.cross_entropy(logits, teacher.softmax(1)), **EXACT)
    labels = torch.randint(4, (9,), generator=rng)
    torch.testing.assert_close(soft_cross_entropy(logits, F.one_hot(labels, 4).double()), cross_entropy(logits, labels), **EXACT)


def test_soft_cross_entropy_stays_finite_at_extreme_logits() -> None:
    logits = torch.tensor([[1e4, -1e4], [-1e4, 1e4]])
    assert soft_cross_entropy(logits, torch.tensor([[1.0, 0.0], [0.0, 1.0]])).item() == 0
    assert soft_cross_entropy(logits, torch.tensor([[0.0, 1.0], [0.0, 1.0]])).item() == pytest.approx(1e4)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_label_smoothing_equals_torchs_and_the_formula(smoothing: float) -> None:
    rng = torch.Generator().manual_seed(4)
    logits, labels = torch.randn(9, 4, generator=rng, dtype=torch.float64), torch.randint(4, (9,), generator=rng)
    found = cross_entropy(logits, labels, smoothing)
    torch.testing.assert_close(found, torch.nn.CrossEntropyLoss(label_smoothing=smoothing)(logits, labels), **EXACT)
    target = F.one_hot(labels, 4).double() * (1 - smoothing) + smoothing / 4
    torch.testing.assert_close(found, -(target * logits.log_softmax(1)).sum(1).mean(), **EXACT)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, 2, math.nan])
def test_label_smoothing_outside_its_range_is_refused_naming_it(smoothing: float) -> None:
    with pytest.raises(InputError, match=f"objective.label_smoothing: {smoothing}"):
        CrossEntropy(smoothing)


@pytest.mark.parametrize(
    ("key", "value"),
    [("hard_weight", -1), ("soft_weight", -0.1), ("temperature", 0), ("temperature", -1)]
    + [(key, math.nan) for key in ("hard_weight", "soft_weight", "temperature")],
)
def test_distillation_refuses_what_makes_no_sense_naming_key_and_value(key: str, value: float) -> None:
    with pytest.raises(InputError, match=f"objective.{key}: {value}"):
        InplaceDistillation(SPACE, **{key: value})
