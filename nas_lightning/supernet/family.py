"""A kind of network: its candidates and their costs, its supernet, and its stand-alone networks."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from nas_lightning.space import Architecture, ResidualStructure, SearchSpace, ShortcutRule
from nas_lightning.supernet.layers import NormStatistics
from nas_lightning.supernet.network import Supernet
from nas_lightning.supernet.single_network import SingleNetwork


@dataclass(frozen=True)
class ResidualFamily(ResidualStructure):
    """Builds the residual networks of a space."""

    name: ClassVar[str] = "residual"
    class_file: ClassVar[Path] = Path(__file__).with_name("network_file.py")
    """The class of a candidate, for programs without this package."""
    class_reads: ClassVar[str] = "network.safetensors"

    @classmethod
    def from_header(cls, header: Mapping[str, Any]) -> "ResidualFamily":
        """The family with a structure's header, which may be part of a supernet's."""
        return cls(SearchSpace(**header["space"]), header["classes"], header["channels"], ShortcutRule(header["shortcuts"]))

    @property
    def norms_single_values(self) -> bool:
        """Whether a norm has a single value a channel of one image: the last stage's are of one pixel."""
        return 2 ** (len(self.space.blocks) - 1) >= self.space.resolution

    def of_protocol(self, protocol: Mapping[str, Any]) -> "ResidualFamily":
        """The family that a ranking's or a search's protocol names."""
        return replace(self, shortcuts=ShortcutRule(str(protocol.get("shortcuts", ShortcutRule.ALWAYS))))

    def class_arguments(self, architecture: Architecture) -> dict[str, Any]:
        """Plain arguments of ``Network`` in ``class_file`` for a candidate; its weights have the names of ``alone``'s."""
        blocks, widths = self.space.residual_blocks, architecture.widths
        return {
            "channels": self.channels,
            "widths": list(widths),
            "strides": [block.stride for block in blocks],
            "projections": [self.shortcuts.applies(block.opens_stage, widths[block.source], widths[block.second]) for block in blocks],
            "classes": self.classes,
        }

    def supernet(self, norm: NormStatistics | str, seed: int, channels_last: bool = True) -> Supernet:
        """All candidates in one network; arguments as for Supernet."""
        return Supernet(self.space, self.classes, self.channels, self.shortcuts, norm, seed, channels_last)

    def alone(self, architecture: Architecture, norm: NormStatistics | str, seed: int = 0) -> SingleNetwork:
        """One candidate with weights of its own; arguments as for SingleNetwork."""
        return SingleNetwork(self, architecture, norm, seed)
