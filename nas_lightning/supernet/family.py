"""A kind of network: its candidates and their costs, its supernet, and its stand-alone networks."""

from dataclasses import dataclass

from nas_lightning.space import Architecture, ResidualStructure
from nas_lightning.supernet.layers import NormStatistics
from nas_lightning.supernet.network import Supernet
from nas_lightning.supernet.single_network import SingleNetwork


@dataclass(frozen=True)
class ResidualFamily(ResidualStructure):
    """Builds the residual networks of a space."""

    def supernet(self, norm: NormStatistics | str, seed: int, channels_last: bool = True) -> Supernet:
        """All candidates in one network; arguments as for Supernet."""
        return Supernet(self.space, self.classes, self.channels, self.shortcuts, norm, seed, channels_last)

    def alone(self, architecture: Architecture, norm: NormStatistics | str, seed: int = 0) -> SingleNetwork:
        """One candidate with weights of its own; arguments as for SingleNetwork."""
        return SingleNetwork(self, architecture, norm, seed)
