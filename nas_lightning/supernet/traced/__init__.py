"""Any convolutional network as a supernet of widths, read off its traced graph."""

from nas_lightning.supernet.traced.choices import Widths
from nas_lightning.supernet.traced.family import TracedFamily
from nas_lightning.supernet.traced.network import TracedSupernet

__all__ = ["TracedFamily", "TracedSupernet", "Widths"]
