"""Several candidates in one full-width forward against one forward each, sliced and masked."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.masked_network import MaskedNetwork
from nas_lightning.errors import InputError
from nas_lightning.rng import generator
from nas_lightning.space import Architecture, SearchSpace
from nas_lightning.supernet import Supernet
from nas_lightning.supernet.path_batched import batched_forward, stack_widths

CLASSES = 5
CPU = torch.device("cpu")


def space_of(request: pytest.FixtureRequest, name: str) -> SearchSpace:
    space: SearchSpace = request.getfixturevalue(name)
    return space


def chosen(space: SearchSpace) -> list[Architecture]:
    """The extremes, some drawn, one of them twice."""
    rng = generator(0, "test")
    drawn = [space.sample(rng) for _ in range(3)]
    return [space.largest, drawn[0], space.smallest, *drawn]


def images_and_labels(batch: int, dtype: torch.dtype, side: int = 8) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    return torch.randn(batch, 3, side, side, generator=rng, dtype=torch.float64).to(dtype), torch.randint(CLASSES, (batch,), generator=rng)


def moved_off_its_initial_norms(supernet: Supernet) -> Supernet:
    """With scales and shifts that would show a mix-up of channels or paths; all are 1 and 0 initially."""
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in supernet.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn(parameter.shape, generator=rng) / 3)
    return supernet


def gradients_of(supernet: Supernet, logits: Sequence[Tensor] | Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Of cross entropies of different weights, so that paths are told apart; zeros where there is none."""
    loss = torch.stack([weight * F.cross_entropy(one, labels) for weight, one in enumerate(logits, start=1)]).sum()
    names, parameters = zip(*supernet.named_parameters(), strict=True)
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return {name: torch.zeros_like(one) if got is None else got for name, one, got in zip(names, parameters, found, strict=True)}


def assert_close(found: Tensor, expected: Tensor, relative: float, name: str = "logits") -> None:
    """Relative to the largest number of the expected tensor: a sum's rounding follows its terms."""
    scale = max(expected.abs().max().item(), 1e-3)
    difference = (found - expected).abs().max().item()
    assert difference <= relative * scale, f"{name}: {difference} of {scale}"


@pytest.mark.parametrize(("dtype", "relative"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
@pytest.mark.parametrize("batch", [3, 4])
@pytest.mark.parametrize("shortcuts", ["always", "where_needed"])
@pytest.mark.parametrize("space_name", ["track1", "tiny"])
def test_one_batched_forward_equals_one_each_and_its_gradients(
    request: pytest.FixtureRequest, space_name: str, shortcuts: str, batch: int, dtype: torch.dtype, relative: float
) -> None:
    space = space_of(request, space_name)
    supernet = moved_off_its_initial_norms(Supernet(space, CLASSES, shortcuts=shortcuts)).to(dtype)
    paths = chosen(space)
    images, labels = images_and_labels(batch, dtype)
    logits = batched_forward(supernet, images, stack_widths(paths, CPU))
    assert logits.shape == (len(paths), batch, CLASSES)
    found = gradients_of(supernet, logits, labels)
    for network in (supernet, MaskedNetwork(supernet)):
        each = [network(images, path) for path in paths]
        assert_close(logits.detach(), torch.stack(each).detach(), relative)
        for name, expected in gradients_of(supernet, each, labels).items():
            assert_close(found[name], expected, relative, name)


def test_images_of_the_real_resolution_give_the_same_logits(track1: SearchSpace) -> None:
    supernet = Supernet(track1, CLASSES).double()
    images, _ = images_and_labels(2, torch.float64, side=32)
    paths = [track1.smallest, track1.largest]
    with torch.no_grad():
        logits = batched_forward(supernet, images, stack_widths(paths, CPU))
        assert_close(logits, torch.stack([supernet(images, path) for path in paths]), 1e-9)


def test_where_needed_paths_differ_in_one_blocks_shortcut() -> None:
    space = SearchSpace("small", (2,), (6,), 2, 8)
    supernet = moved_off_its_initial_norms(Supernet(space, CLASSES, shortcuts="where_needed")).double()
    identity, convolution = Architecture((2, 4, 4, 6, 4)), Architecture((2, 4, 4, 6, 2))
    images, labels = images_and_labels(5, torch.float64)
    weight = supernet.blocks[1].shortcut.conv.full.weight
    for path, is_used in ((identity, False), (convolution, True)):
        logits = batched_forward(supernet, images, stack_widths([path], CPU))
        torch.testing.assert_close(logits[0], supernet(images, path), rtol=1e-10, atol=1e-12)
        (gradient,) = torch.autograd.grad(F.cross_entropy(logits[0], labels), [weight])
        assert gradient.any() == is_used


def test_a_paths_logits_do_not_depend_on_the_paths_beside_it(tiny: SearchSpace) -> None:
    supernet = Supernet(tiny, CLASSES).double()
    images, _ = images_and_labels(4, torch.float64)
    paths = chosen(tiny)
    logits = batched_forward(supernet, images, stack_widths(paths, CPU))
    assert torch.equal(logits[1], logits[3])  # the one that is there twice
    for one, path in zip(logits, paths, strict=True):
        assert_close(one.detach(), batched_forward(supernet, images, stack_widths([path], CPU))[0].detach(), 1e-12)


def test_images_that_lie_pixel_by_pixel_give_the_same_logits(tiny: SearchSpace) -> None:
    supernet, widths = Supernet(tiny, CLASSES).double(), stack_widths(chosen(tiny), CPU)
    images, _ = images_and_labels(4, torch.float64)
    other = images.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(batched_forward(supernet, other, widths), batched_forward(supernet, images, widths))


def test_under_autocast_the_norms_take_their_statistics_in_float32(tiny: SearchSpace) -> None:
    supernet, paths = moved_off_its_initial_norms(Supernet(tiny, CLASSES)), chosen(tiny)
    # An offset that bfloat16 statistics would not survive: of 3,000 numbers near 3, a sum in bfloat16 stops growing at some 1,000.
    images, _ = images_and_labels(48, torch.float32)
    images = images + 3
    exact = batched_forward(supernet, images, stack_widths(paths, CPU)).detach()
    with torch.autocast("cpu", torch.bfloat16):
        logits = batched_forward(supernet, images, stack_widths(paths, CPU)).detach()
        each = torch.stack([supernet(images, path) for path in paths]).detach()
    assert logits.dtype == torch.bfloat16
    rounding = (each.float() - exact).abs().max().item()
    assert (logits.float() - exact).abs().max().item() <= 2 * rounding
    assert_close(logits.float(), exact, 0.05)


def test_nothing_is_read_back_from_the_device(track1: SearchSpace) -> None:
    for shortcuts in ("always", "where_needed"):
        supernet = Supernet(track1, CLASSES, shortcuts=shortcuts).to("meta")  # numbers there do not exist
        images, widths = torch.empty(3, 3, 32, 32, device="meta"), torch.empty(4, track1.layers, dtype=torch.int64, device="meta")
        logits = batched_forward(supernet, images, widths)
        assert logits.shape == (4, 3, CLASSES)
        logits.sum().backward()


def test_fake_tensors_trace_it(tiny: SearchSpace) -> None:
    for shortcuts in ("always", "where_needed"):
        supernet = Supernet(tiny, CLASSES, shortcuts=shortcuts)
        with FakeTensorMode(allow_non_fake_inputs=True):
            logits = batched_forward(supernet, torch.empty(3, 3, 8, 8), torch.empty(4, tiny.layers, dtype=torch.int64))
        assert logits.shape == (4, 3, CLASSES)


class Operations(TorchDispatchMode):
    """Every operation with the shapes that it reads."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, list[torch.Size]]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen.append((str(func), [one.shape for one in args if isinstance(one, Tensor)]))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("shortcuts", ["always", "where_needed"])
def test_whatever_the_widths_the_same_operations_run_on_the_same_shapes(tiny: SearchSpace, shortcuts: str) -> None:
    supernet = Supernet(tiny, CLASSES, shortcuts=shortcuts)
    images, labels = images_and_labels(3, torch.float32)
    seen = []
    for paths in ([tiny.smallest] * 3, chosen(tiny)[1:4], [tiny.largest, tiny.smallest, tiny.largest]):
        widths = stack_widths(paths, CPU)
        with Operations() as operations:
            gradients_of(supernet, batched_forward(supernet, images, widths), labels)
        seen.append(operations.seen)
    assert seen[0] == seen[1] == seen[2]
    assert len(seen[0]) > 100


def test_running_averages_are_refused_naming_both_keys(tiny: SearchSpace) -> None:
    supernet = Supernet(tiny, CLASSES, norm="running")
    with pytest.raises(InputError, match=r"path_execution: batched needs supernet\.norm=batch, not running"):
        batched_forward(supernet, images_and_labels(3, torch.float32)[0], stack_widths([tiny.smallest], CPU))
