"""Small networks of grey images, as a user's package has them."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Plain(nn.Module):
    """Residual, with a norm and a dropout in front of another norm; narrowed, its own code runs."""

    def __init__(self, classes: int = 10, widths: Sequence[int] = (12, 16, 20)) -> None:
        super().__init__()
        stem, inner, last = widths
        self.stem = nn.Sequential(nn.Conv2d(1, stem, 3, padding=1, bias=False), nn.BatchNorm2d(stem), nn.ReLU(), nn.Dropout(0.2))
        self.inner = nn.Sequential(nn.Conv2d(stem, inner, 3, padding=1, bias=False), nn.BatchNorm2d(inner), nn.ReLU())
        self.outer = nn.Sequential(nn.Conv2d(inner, stem, 1, bias=False), nn.BatchNorm2d(stem))
        self.scale = nn.Parameter(torch.full((stem, 1, 1), 0.5))
        self.last = nn.Conv2d(stem, last, 3, stride=2, bias=False)
        self.head = nn.Linear(last, classes)

    def forward(self, images: Tensor) -> Tensor:
        """(batch, 1, H, W) -> logits."""
        x = self.stem(images)
        x = F.relu(x + self.scale * self.outer(self.inner(x)))
        return self.head(F.relu(self.last(x)).mean((2, 3)))


class Counting(Plain):
    """Keeps a number of channels, so that a candidate can only be a graph."""

    def __init__(self, classes: int = 10, widths: Sequence[int] = (12, 16, 20)) -> None:
        super().__init__(classes, widths)
        self.width = widths[0] // 2

    def forward(self, images: Tensor) -> Tensor:
        """(batch, 1, H, W) -> logits."""
        one, other = torch.split(self.stem(images), self.width, dim=1)
        x = torch.cat([one, F.relu(other)], 1)
        x = F.relu(x + self.scale * self.outer(self.inner(x)))
        return self.head(F.relu(self.last(x)).mean((2, 3)))


class Summing(Counting):
    """Divides by the number of pixels, which a trace for one side takes as a constant."""

    def forward(self, images: Tensor) -> Tensor:
        """(batch, 1, H, W) -> logits."""
        one, other = torch.split(self.stem(images), self.width, dim=1)
        x = torch.cat([one, F.relu(other)], 1)
        x = F.relu(self.last(F.relu(x + self.scale * self.outer(self.inner(x)))))
        return self.head(x.sum((2, 3)) / (x.shape[2] * x.shape[3]))


class Masked(Plain):
    """Keeps a mask and an index, which are no floating point numbers."""

    def __init__(self, classes: int = 10, widths: Sequence[int] = (12, 16, 20)) -> None:
        super().__init__(classes, widths)
        self.register_buffer("mask", torch.eye(3, dtype=torch.bool))
        self.register_buffer("order", torch.arange(8, dtype=torch.int32))

    def forward(self, images: Tensor) -> Tensor:
        """(batch, 1, H, W) -> logits."""
        x = F.relu(self.last(self.stem(images[..., self.order.long()])))
        return self.head((x * self.mask).sum((2, 3)))


class Pooled(Plain):
    """Norms single values behind its pooling."""

    def __init__(self, classes: int = 10, widths: Sequence[int] = (12, 16, 20)) -> None:
        super().__init__(classes, widths)
        self.norm = nn.BatchNorm1d(widths[2])

    def forward(self, images: Tensor) -> Tensor:
        """(batch, 1, H, W) -> logits."""
        return self.head(self.norm(F.relu(self.last(self.stem(images))).mean((2, 3))))


class Tokens(Pooled):
    """Norms all pixels of an image together."""

    def forward(self, images: Tensor) -> Tensor:
        """(batch, 1, H, W) -> logits."""
        x = F.relu(self.last(self.stem(images)))
        return self.head(self.norm(x.flatten(2).transpose(1, 2).reshape(-1, x.shape[1])).view(images.shape[0], -1, x.shape[1]).mean(1))


class Viewing(nn.Module):
    """Flattens by a view, which images in channels_last do not allow."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.one, self.two, self.head = nn.Conv2d(1, 8, 3), nn.Linear(8 * 9, 20), nn.Linear(20, classes)

    def forward(self, images: Tensor) -> Tensor:
        """(batch, 1, 8, 8) -> logits."""
        x = F.max_pool2d(F.relu(self.one(images)), 2)
        return self.head(self.two(x.view(x.size(0), -1)).relu())
