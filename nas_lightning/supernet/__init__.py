"""One network whose slices are all candidates."""

from nas_lightning.supernet.family import ResidualFamily
from nas_lightning.supernet.layers import NormStatistics
from nas_lightning.supernet.network import Supernet
from nas_lightning.supernet.single_network import SingleNetwork, cut, cut_to_score

__all__ = ["NormStatistics", "ResidualFamily", "SingleNetwork", "Supernet", "cut", "cut_to_score"]
