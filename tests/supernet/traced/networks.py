"""Networks that the tests of traced supernets share, and how a slice is compared with a network cut out."""

from functools import cache
from typing import Any

import numpy as np
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from nas_lightning.space import Architecture
from nas_lightning.supernet.traced.choices import Widths
from nas_lightning.supernet.traced.network import TracedSupernet
from nas_lightning.supernet.traced.program import Program

FINE = Widths(divisor=1, least=1)
"""A quarter, a half, three quarters and all of the channels, however few."""


class LayerNorm2d(nn.LayerNorm):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class SqueezeAndExcite(nn.Module):
    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.squeeze, self.excite = nn.Conv2d(channels, squeezed, 1), nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.excite(F.silu(self.squeeze(x.mean((2, 3), keepdim=True)))))


class Everything(nn.Module):
    """What networks do with channels, at small size."""

    def __init__(self, classes: int = 10, dropout: float = 0.5) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 24, 3, padding=1), nn.GroupNorm(4, 24), nn.PReLU(24))
        self.left, self.right = nn.Conv2d(24, 16, 1), nn.Conv2d(24, 8, 3, padding=1)
        self.grouped = nn.Sequential(nn.Conv2d(24, 48, 3, padding=1, groups=4, bias=False), nn.BatchNorm2d(48))
        self.excited = SqueezeAndExcite(48, 12)
        self.mixed = nn.Sequential(nn.Conv2d(48, 32, 1), LayerNorm2d(32))
        self.depthwise = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.BatchNorm2d(16))
        self.scale = nn.Parameter(torch.ones(16, 1, 1))
        self.joined = nn.Sequential(nn.Conv2d(40, 20, 1, bias=False), nn.BatchNorm2d(20), nn.ReLU(inplace=True))
        self.head = nn.Sequential(nn.Linear(80, 36), nn.BatchNorm1d(36), nn.ReLU(), nn.Dropout(dropout), nn.Linear(36, classes))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.excited(self.grouped(torch.cat([self.left(x), self.right(x)], 1)))
        one, other = self.mixed(y).chunk(2, dim=1)
        z = self.depthwise(one) * self.scale
        z += other
        if z.shape[2] > 4:
            z, x = F.max_pool2d(z, 2), F.avg_pool2d(x, 2)
        z = self.joined(torch.cat([z, x], 1))
        return self.head(F.adaptive_avg_pool2d(z, 2).flatten(1))


class Gates(nn.Module):
    """More of it: gates over channels and pixels, tokens, weight norm, a choice of kernels, a decoder's skip."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 32, 3, padding=1)), nn.GLU(1))
        self.along_channels, self.over_pixels = nn.Conv1d(1, 1, 3, padding=1, bias=False), nn.Conv2d(2, 1, 5, padding=2)
        self.small, self.large = nn.Conv2d(16, 24, 3, padding=1), nn.Conv2d(16, 24, 5, padding=2)
        self.chosen, self.choose = nn.Conv2d(24, 12, 1), nn.Conv2d(12, 48, 1)
        self.down = nn.Sequential(nn.Conv2d(24, 28, 3, stride=2, padding=1), nn.InstanceNorm2d(28, affine=True))
        self.up = nn.Conv2d(52, 20, 1)
        self.scale, self.shift = nn.Linear(28, 20), nn.Linear(28, 20)
        self.norm, self.mixed = nn.LayerNorm(20), nn.Sequential(nn.Linear(20, 40), nn.GELU(), nn.Linear(40, 20))
        self.head = nn.Linear(20, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x * self.along_channels(x.mean((2, 3)).unsqueeze(1)).sigmoid().squeeze(1)[..., None, None]
        x = x * self.over_pixels(torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)).sigmoid()
        both = torch.stack([self.small(x), self.large(x)], 1)
        weights = self.choose(self.chosen(both.sum(1).mean((2, 3), keepdim=True)).relu())
        x = (both * weights.view(x.shape[0], 2, -1, 1, 1).softmax(1)).sum(1)
        y = self.down(x)
        z = self.up(torch.cat([F.interpolate(y, size=x.shape[2:], mode="bilinear"), x], 1))
        gate = y.flatten(2).mean(2)
        z = z * (1 + self.scale(gate)[:, :, None, None]) + self.shift(gate)[:, :, None, None]
        tokens = z.flatten(2).transpose(1, 2)
        return self.head((tokens + self.mixed(self.norm(tokens))).mean(1))


class Attention(nn.Module):
    """A convolutional stem, attention over pixels, and convolutions behind it."""

    def __init__(self, keeps_its_shape: bool = False) -> None:
        super().__init__()
        self.keeps_its_shape = keeps_its_shape
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU())
        self.wide = nn.Conv2d(16, 32, 1)
        self.keys, self.values = nn.Conv2d(32, 32, 1), nn.Conv2d(32, 32, 1)
        self.behind = nn.Sequential(nn.Conv2d(32, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU(), nn.Conv2d(24, 40, 1))
        self.head = nn.Linear(40, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.wide(self.stem(x))
        keys, values = self.keys(x).flatten(2), self.values(x).flatten(2)
        attention = (keys.transpose(1, 2) @ keys / 6).softmax(2)
        shape = x.shape if self.keeps_its_shape else (x.shape[0], 32, *x.shape[2:])
        return self.head(self.behind((values @ attention).view(shape)).mean((2, 3)))


class Small(nn.Module):
    """Two convolutions and a classifier, with something between them."""

    def __init__(self, between: Any = lambda x: x) -> None:
        super().__init__()
        self.one, self.two, self.head = nn.Conv2d(3, 16, 3), nn.Conv2d(16, 24, 3), nn.Linear(24, 10)
        self.between = [between]  # a plain function

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.two(self.between[0](self.one(x))).mean((2, 3)))


SETTINGS = {"googlenet": {"init_weights": False}}  # else it warns
OWN = {"everything": Everything, "gates": Gates, "attention": Attention, "small": Small}


def images_of(side: int, batch: int = 4) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).standard_normal((batch, 3, side, side)))


@cache
def traced(name: str, side: int = 64, norm: str = "batch") -> TracedSupernet:
    """A supernet of float64, whose scales, slopes and gates are all different; do not change it."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        module = OWN[name]() if name in OWN else getattr(torchvision.models, name)(num_classes=10, **SETTINGS.get(name, {}))
    supernet = TracedSupernet(Program(module.double(), images_of(side, 2), FINE, name=name), norm).eval()
    rng = np.random.default_rng(0)
    with torch.no_grad():
        for tensor in supernet.network.state_dict().values():
            if max(tensor.shape, default=1) == tensor.numel():
                tensor.copy_(torch.from_numpy(np.asarray(rng.uniform(0.5, 1.5, tensor.shape))))
    return supernet


def supernet_of(module: nn.Module, images: Tensor, widths: Widths = FINE, **settings: Any) -> TracedSupernet:
    """All candidates of a module; other settings as ``Program``'s."""
    return TracedSupernet(Program(module, images, widths, **settings))


def some_of(supernet: TracedSupernet, count: int) -> list[Architecture]:
    """The smallest candidate and random ones."""
    rng = np.random.default_rng(1)
    return [supernet.space.smallest, *(supernet.space.sample(rng) for _ in range(count - 1))]


def differences(supernet: TracedSupernet, alone: nn.Module, architecture: Architecture, images: Tensor) -> tuple[float, float, float]:
    """The largest differences of outputs and of gradients from those of a network cut out, each relative to the largest value, and
    the share of the gradients' sum that lies outside the slices."""
    supernet.zero_grad()
    sliced, cut = supernet(images, architecture), alone(images)
    weights = torch.from_numpy(np.random.default_rng(2).standard_normal(cut.shape))
    (sliced * weights).sum().backward()
    (cut * weights).sum().backward()
    units, of_alone = supernet.program.units(architecture.widths), dict(alone.named_parameters())
    scale = max(float(parameter.grad.abs().max()) for parameter in of_alone.values() if parameter.grad is not None)
    worst, inside, everywhere = 0.0, 0.0, 0.0
    for index, tensor in supernet.tensors.items():
        if isinstance(tensor, nn.Parameter):
            full = torch.zeros_like(tensor) if tensor.grad is None else tensor.grad
            part = supernet.program.narrowed(index, full, units)
            other = of_alone[supernet.program.graph.values[index].name]
            assert part.shape == other.shape
            wanted = torch.zeros_like(other) if other.grad is None else other.grad
            worst = max(worst, float((part - wanted).abs().max()) / scale)
            inside, everywhere = inside + float(part.abs().sum()), everywhere + float(full.abs().sum())
    of_outputs = float(((sliced - cut).abs().max() / cut.abs().max()).detach())
    return of_outputs, worst, 1 - inside / everywhere


class Masked(nn.Module):
    """A softmax over the columns, one of which is masked."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", torch.tensor([0.0] * 7 + [-torch.inf]))

    def forward(self, x: Tensor) -> Tensor:
        return (x + self.mask).softmax(3)


class MaskedNet(nn.Sequential):
    """For a checkpoint, which names its class."""

    def __init__(self, classes: int) -> None:
        super().__init__(nn.Conv2d(1, 16, 3, padding=1), Masked(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, classes))
