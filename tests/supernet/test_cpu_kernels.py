"""The hand-written operations against PyTorch's own, forward and backward."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas_lightning.supernet import cpu_kernels
from nas_lightning.supernet.cpu_kernels import batch_moments, norm_add_relu, sliced_conv2d
from nas_lightning.supernet.layers import NormStatistics, SlicedUnit, rectified_sum


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.fixture(params=[1, 8, 16])
def vector(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the CPU computed so many numbers at a time."""
    monkeypatch.setattr(cpu_kernels, "_vector_length", lambda: request.param)


@pytest.mark.usefixtures("vector")
@pytest.mark.parametrize(("size", "stride"), [(3, 1), (3, 2), (1, 1), (1, 2)])
@pytest.mark.parametrize(("in_width", "out_width"), [(4, 4), (4, 64), (64, 4), (8, 8), (3, 16), (12, 20), (64, 64), (28, 8)])
@pytest.mark.parametrize(("batch", "side"), [(1, 8), (5, 8), (3, 7)])
def test_a_sliced_convolution_equals_a_small_one(size: int, stride: int, in_width: int, out_width: int, batch: int, side: int) -> None:
    full = random(64, 64, size, size, seed=1).requires_grad_()
    x = random(batch, in_width, side, side).requires_grad_()
    found = sliced_conv2d(x, full, out_width, stride)
    small, other = full.detach()[:out_width, :in_width].clone().requires_grad_(), x.detach().clone().requires_grad_()
    expected = F.conv2d(other, small, stride=stride, padding=size // 2)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    direction = random(*expected.shape, seed=2)
    found.backward(direction)
    expected.backward(direction)
    torch.testing.assert_close(x.grad, other.grad, rtol=1e-4, atol=1e-4)
    assert full.grad is not None
    torch.testing.assert_close(full.grad[:out_width, :in_width], small.grad, rtol=1e-4, atol=1e-3)
    full.grad[:out_width, :in_width] = 0
    assert not full.grad.any(), "the gradient outside the slice is zero"


@pytest.mark.usefixtures("vector")
@pytest.mark.parametrize("stride", [1, 2])
def test_a_sliced_convolutions_gradients_are_those_of_finite_differences(stride: int) -> None:
    x, weight = random(2, 3, 4, 4, dtype=torch.float64), random(6, 5, 3, 3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x, weight: sliced_conv2d(x, weight, 4, stride), (x.requires_grad_(), weight.requires_grad_()))


def test_only_what_needs_a_gradient_gets_one() -> None:
    images, frozen = random(2, 3, 8, 8), random(8, 3, 3, 3)
    weight = random(8, 3, 3, 3).requires_grad_()
    sliced_conv2d(images, weight, 4, 1).sum().backward()
    assert images.grad is None
    assert weight.grad is not None
    x = random(2, 3, 8, 8).requires_grad_()
    sliced_conv2d(x, frozen, 4, 2).sum().backward()
    assert x.grad is not None
    assert frozen.grad is None


def units(statistics: NormStatistics, affine: bool, dtype: torch.dtype) -> tuple[SlicedUnit, SlicedUnit]:
    pair = [SlicedUnit(6, 8, size, statistics=statistics, affine=affine).to(dtype) for size in (3, 1)]
    for number, unit in enumerate(pair):
        for name, tensor in unit.state_dict().items():
            if tensor.ndim:
                tensor.copy_(random(*tensor.shape, seed=number + len(name), dtype=dtype).abs() + 0.5)
    return pair[0], pair[1]


def in_plain_torch(pair: tuple[SlicedUnit, ...], xs: tuple[Tensor, ...], identity: Tensor | None) -> Tensor:
    outputs = [unit.norm(F.conv2d(x, unit.conv.full.weight[:4, :5], padding="same")) for unit, x in zip(pair, xs, strict=True)]
    total = outputs[0] if len(outputs) == 1 else outputs[0] + outputs[1]
    return F.relu(total if identity is None else total + identity)


@pytest.mark.parametrize("branches", [1, 2])
@pytest.mark.parametrize("with_identity", [False, True])
@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize(("statistics", "training"), [("batch", True), ("batch", False), ("running", True), ("running", False)])
def test_a_rectified_sum_equals_conv_norm_add_relu(
    branches: int, with_identity: bool, affine: bool, statistics: str, training: bool
) -> None:
    results = []
    for way in ("ours", "plain"):
        pair = units(NormStatistics(statistics), affine, torch.float64)[:branches]
        xs = tuple(random(3, 5, 6, 6, seed=seed, dtype=torch.float64).requires_grad_() for seed in range(branches))
        identity = random(3, 4, 6, 6, seed=7, dtype=torch.float64).requires_grad_() if with_identity else None
        for unit in pair:
            unit.train(training)
        out = rectified_sum(list(zip(pair, xs, strict=True)), 4, identity) if way == "ours" else in_plain_torch(pair, xs, identity)
        out.backward(random(*out.shape, seed=3, dtype=torch.float64))
        parameters = [one for unit in pair for one in unit.parameters()]
        buffers = [one for unit in pair for name, one in unit.named_buffers() if "running" in name]
        results.append([out.detach(), *(one.grad for one in (*xs, *parameters)), identity.grad if identity is not None else None, buffers])
    torch.testing.assert_close(results[0], results[1], rtol=1e-9, atol=1e-11)


def test_a_norms_gradients_are_those_of_finite_differences() -> None:
    first, second = units(NormStatistics.BATCH, True, torch.float64)
    xs = [(random(2, 5, 3, 3, seed=seed, dtype=torch.float64) + 0.1).requires_grad_() for seed in (0, 1)]
    identity = random(2, 4, 3, 3, seed=5, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, y, identity: rectified_sum([(first, x), (second, y)], 4, identity), (*xs, identity))


@pytest.mark.parametrize("channels", [4, 20, 64])
@pytest.mark.parametrize("shape", [(97, 8), (500, 16), (2, 1), (3, 5)])
def test_moments_are_exact_to_single_precision_also_far_from_zero(channels: int, shape: tuple[int, int]) -> None:
    batch, side = shape
    x = random(batch, channels, side, side) * 0.5 + 20
    mean, variance = batch_moments(x.contiguous(memory_format=torch.channels_last))
    exact = x.double()
    torch.testing.assert_close(mean.double(), exact.mean((0, 2, 3)), rtol=1e-6, atol=0)
    torch.testing.assert_close(variance.double(), exact.var((0, 2, 3), unbiased=False), rtol=1e-4, atol=0)


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_the_memory_format_of_what_comes_in_does_not_matter(memory: torch.memory_format) -> None:
    unit = SlicedUnit(6, 8, 3, statistics=NormStatistics.BATCH)
    nn.init.normal_(unit.conv.full.weight, generator=torch.Generator().manual_seed(0))
    x = random(4, 6, 8, 8).contiguous(memory_format=memory).requires_grad_()
    out = rectified_sum([(unit, x)], 8)
    out.mean(dim=(2, 3)).sum().backward()  # a gradient with strides of zero
    expected = F.relu(unit.norm(F.conv2d(x, unit.conv.full.weight, padding=1)))
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)
    assert x.grad is not None


def test_under_autocast_the_plain_way_runs_with_norms_in_full_precision() -> None:
    unit = SlicedUnit(6, 8, 3, statistics=NormStatistics.BATCH)
    nn.init.normal_(unit.conv.full.weight, generator=torch.Generator().manual_seed(0))
    x = random(4, 6, 8, 8).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        out = rectified_sum([(unit, x)], 8)
    out.float().sum().backward()
    torch.testing.assert_close(out.float(), rectified_sum([(unit, x)], 8), rtol=0.05, atol=0.1)


def test_a_term_without_scale_and_shift_is_only_normalised() -> None:
    unit = SlicedUnit(3, 4, 3, statistics=NormStatistics.BATCH, affine=False)
    out = norm_add_relu([unit.norm.term(random(6, 4, 5, 5))])
    torch.testing.assert_close(out, F.relu(F.batch_norm(random(6, 4, 5, 5), None, None, training=True)))


@pytest.mark.parametrize("side", [1, 2, 3, 4, 6, 8])
@pytest.mark.parametrize("in_width", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("out_width", [1, 2, 4, 8, 16])
@pytest.mark.usefixtures("vector")
def test_a_convolution_reads_nothing_but_its_image(side: int, in_width: int, out_width: int):
    """Whatever lies next to it in memory: freed blocks of many sizes are filled with large numbers first."""
    torch.manual_seed(0)
    weight = torch.randn(16, 16, 3, 3)
    for batch in (1, 2, 7, 64):
        image = torch.randn(batch, in_width, side, side).contiguous(memory_format=torch.channels_last)
        expected = F.conv2d(image.double(), weight[:out_width, :in_width].double(), padding=1)
        for _ in range(3):
            for size in (10, 64, 100, 640, 1000, 4096, 16384, 65536):
                torch.full((size,), 1e20)
            found = sliced_conv2d(image, weight, out_width, 1)
            torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4)
