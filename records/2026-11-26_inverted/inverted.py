"""Five inverted residual blocks for images of one channel and 16 pixels."""

from torch import Tensor, nn


def unit(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """A convolution and its norm."""
    return [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(outputs)]


class Block(nn.Module):
    """Wider by four inside."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        hidden = 4 * inputs
        self.body = nn.Sequential(
            *unit(inputs, hidden), nn.ReLU6(), *unit(hidden, hidden, 3, stride, hidden), nn.ReLU6(), *unit(hidden, outputs)
        )
        self.is_residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Of features."""
        return x + self.body(x) if self.is_residual else self.body(x)


class Net(nn.Module):
    """Logits of images (batch, 1, 16, 16)."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        blocks = [Block(8, 8, 1), Block(8, 16, 2), Block(16, 16, 1), Block(16, 24, 2), Block(24, 24, 1)]
        self.features = nn.Sequential(*unit(1, 8, 3), nn.ReLU6(), *blocks)
        self.head = nn.Linear(24, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Of images."""
        return self.head(self.features(images).mean((2, 3)))
