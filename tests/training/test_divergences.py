"""How far a student's answers are from its teacher's, against formulas written out."""

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from nas_lightning.errors import InputError
from nas_lightning.training.objectives import AlphaDivergence, Divergence, KLDivergence
from nas_lightning.training.objectives.objectives import soft_cross_entropy

EXACT = {"rtol": 1e-10, "atol": 1e-12}
UNCLIPPED = 1e30


@pytest.fixture
def logits() -> tuple[Tensor, Tensor]:
    """(9, 5) of student and teacher; far apart, so that either alpha is the larger one in some images."""
    rng = torch.Generator().manual_seed(1)
    student, teacher = 2 * torch.randn(2, 9, 5, generator=rng, dtype=torch.float64)
    return student.requires_grad_(), teacher


def with_gradient(loss: Tensor, student: Tensor) -> tuple[Tensor, Tensor]:
    (gradient,) = torch.autograd.grad(loss, [student])
    return loss.detach(), gradient


def probabilities(logits: Tensor, temperature: float = 1.0) -> Tensor:
    powers = (logits / temperature).exp()
    return powers / powers.sum(dim=1, keepdim=True)


def plain_alpha(student: Tensor, teacher: Tensor, alpha: float) -> Tensor:
    """(batch,) the definition (Wang et al. 2021, equation 4) and its two limits."""
    p, q = probabilities(teacher), probabilities(student)
    if alpha == 1:
        return (p * (p / q).log()).sum(dim=1)
    if alpha == 0:
        return (q * (q / p).log()).sum(dim=1)
    return (q * ((p / q) ** alpha - 1)).sum(dim=1) / (alpha * (alpha - 1))


@pytest.mark.parametrize("temperature", [1.0, 0.5, 4.0])
def test_kl_and_its_gradient_are_those_of_the_formula(temperature: float, logits: tuple[Tensor, Tensor]) -> None:
    student, teacher = logits
    p, q = probabilities(teacher, temperature), probabilities(student, temperature)
    expected = temperature**2 * (p * (p / q).log()).sum() / len(p)
    found = KLDivergence(temperature)(student, teacher)
    torch.testing.assert_close(with_gradient(found, student), with_gradient(expected, student), **EXACT)


def test_kl_has_the_gradient_of_the_soft_cross_entropy(logits: tuple[Tensor, Tensor]) -> None:
    student, teacher = logits
    _, found = with_gradient(KLDivergence()(student, teacher), student)
    _, expected = with_gradient(soft_cross_entropy(student, probabilities(teacher)), student)
    torch.testing.assert_close(found, expected, **EXACT)


def test_the_gradient_of_kl_hardly_depends_on_a_high_temperature(logits: tuple[Tensor, Tensor]) -> None:
    student, teacher = logits
    (_, warm), (_, hot) = (with_gradient(KLDivergence(temperature)(student, teacher), student) for temperature in (50.0, 500.0))
    assert (warm - hot).norm() < 0.1 * hot.norm()


@pytest.mark.parametrize("alphas", [(-1.0, 1.0), (-2.0, 3.0), (0.5, 0.5), (-0.7, 0.0), (0.0, 1.0), (2.0, 2.0)])
def test_unclipped_alpha_is_the_larger_divergence_of_each_image_with_its_gradient(
    alphas: tuple[float, float], logits: tuple[Tensor, Tensor]
) -> None:
    student, teacher = logits
    low, high = (plain_alpha(student, teacher, alpha) for alpha in alphas)
    assert alphas not in ((-2.0, 3.0), (0.0, 1.0)) or 0 < (low > high).sum() < len(low)
    found = AlphaDivergence(*alphas, clip=UNCLIPPED)(student, teacher)
    expected = torch.where(low > high, low, high).mean()
    torch.testing.assert_close(with_gradient(found, student), with_gradient(expected, student), **EXACT)


@pytest.mark.parametrize(("near", "limit"), [(1.002, 1.0), (0.998, 1.0), (0.002, 0.0), (-0.002, 0.0)])
def test_the_limits_join_the_formula(near: float, limit: float, logits: tuple[Tensor, Tensor]) -> None:
    values = [with_gradient(AlphaDivergence(alpha, alpha, UNCLIPPED)(*logits), logits[0]) for alpha in (near, limit)]
    torch.testing.assert_close(*values, rtol=0.02, atol=1e-3)


@pytest.mark.parametrize("clip", [1.5, 5.0])
@pytest.mark.parametrize("alphas", [(-1.0, 1.0), (-1.0, 2.0), (-3.0, -0.5)])
def test_clipped_alpha_is_the_formula_image_by_image(alphas: tuple[float, float], clip: float, logits: tuple[Tensor, Tensor]) -> None:
    student, teacher = logits
    total, gradients, clipped, largest = 0.0, [], 0, set()
    for q, p in zip(probabilities(student).tolist(), probabilities(teacher).tolist(), strict=True):
        choices = []
        for alpha in alphas:
            if alpha == 1:
                value, weights = sum(b * math.log(b / a) for a, b in zip(q, p, strict=True)), p
            else:
                powers = [(b / a) ** alpha for a, b in zip(q, p, strict=True)]
                clipped += sum(power > clip for power in powers)
                factors = [min(power, clip) for power in powers]
                value = sum(a * (factor - 1) for a, factor in zip(q, factors, strict=True)) / (alpha * (alpha - 1))
                weights = [a * factor / alpha for a, factor in zip(q, factors, strict=True)]
            # -sum of weights times the gradient of log q, which by the logits is 1 of the class itself minus q.
            choices.append((value, [a * sum(weights) - weight for a, weight in zip(q, weights, strict=True)]))
        value, gradient = max(choices, key=lambda choice: choice[0])
        largest.add(choices.index((value, gradient)))
        total += value / len(student)
        gradients.append([slope / len(student) for slope in gradient])
    assert clipped
    assert (*alphas, clip) != (-1.0, 1.0, 5.0) or largest == {0, 1}
    found, gradient = with_gradient(AlphaDivergence(*alphas, clip)(student, teacher), student)
    assert found.item() == pytest.approx(total, rel=1e-10)
    torch.testing.assert_close(gradient, torch.tensor(gradients, dtype=torch.float64), **EXACT)


@pytest.mark.parametrize("divergence", [KLDivergence(), KLDivergence(3.0), AlphaDivergence(), AlphaDivergence(-2.0, 0.5)])
def test_a_divergence_is_least_where_student_and_teacher_agree(divergence: Divergence, logits: tuple[Tensor, Tensor]) -> None:
    student, teacher = logits
    value, gradient = with_gradient(divergence(student, student + 1.5), student)  # the same probabilities
    torch.testing.assert_close(value, torch.zeros_like(value), rtol=0, atol=1e-12)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-12)
    assert divergence(student, teacher) > 0.1


@pytest.mark.parametrize("divergence", [KLDivergence(), AlphaDivergence(), AlphaDivergence(-2.0, 3.0), AlphaDivergence(0.0, 0.0)])
def test_a_divergence_sends_no_gradient_to_the_teacher(divergence: Divergence, logits: tuple[Tensor, Tensor]) -> None:
    student, teacher = logits
    teacher.requires_grad_()
    divergence(student, teacher).backward()
    assert teacher.grad is None
    assert student.grad is not None


@pytest.mark.parametrize("divergence", [KLDivergence(), AlphaDivergence(), AlphaDivergence(-2.0, 3.0), AlphaDivergence(0.0, 0.0)])
def test_a_divergence_stays_finite_at_extreme_logits(divergence: Divergence) -> None:
    rows = torch.tensor(list(itertools.product([-1e4, 0.0, 1e4], repeat=3)))
    student = rows.repeat(len(rows), 1).requires_grad_()
    value, gradient = with_gradient(divergence(student, rows.repeat_interleave(len(rows), 0)), student)
    assert value.isfinite()
    assert gradient.isfinite().all()


def test_a_divergence_of_half_precision_is_computed_in_float32(logits: tuple[Tensor, Tensor]) -> None:
    student, teacher = (one.detach().bfloat16() for one in logits)
    for divergence in (KLDivergence(2.0), AlphaDivergence()):
        found = divergence(student, teacher)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, divergence(student.float(), teacher.float()))


def test_kl_is_torchs(logits: tuple[Tensor, Tensor]) -> None:
    student, teacher = logits
    expected = F.kl_div(student.log_softmax(1), teacher.softmax(1), reduction="batchmean")
    torch.testing.assert_close(KLDivergence()(student, teacher), expected, **EXACT)
    torch.testing.assert_close(AlphaDivergence(1.0, 1.0)(student, teacher), expected, **EXACT)


@pytest.mark.parametrize(
    ("kind", "arguments", "line"),
    [
        (KLDivergence, {"temperature": 0}, r"^divergence\.temperature: 0 must be above 0$"),
        (AlphaDivergence, {"clip": 0.5}, r"^divergence\.clip: 0.5 must be at least 1$"),
        (AlphaDivergence, {"alpha_min": 2.0}, r"^divergence\.alpha_min: 2.0 must be a number up to alpha_max=1.0$"),
        (AlphaDivergence, {"alpha_min": math.nan}, r"^divergence\.alpha_min: nan must be a number"),
        (AlphaDivergence, {"alpha_max": math.inf}, r"^divergence\.alpha_min: -1.0 must be a number up to alpha_max=inf"),
    ],
)
def test_values_that_make_no_sense_are_refused(kind: Any, arguments: dict[str, float], line: str) -> None:
    with pytest.raises(InputError, match=line):
        kind(**arguments)
