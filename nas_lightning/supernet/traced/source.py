"""How a network is made: a class of the user's or a network of a library, by name, with its arguments."""

import inspect
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nas_lightning.config.build import IMPORTED, Builder
from nas_lightning.config.fields import Target
from nas_lightning.config.read import join
from nas_lightning.config.roles import NETWORK
from nas_lightning.errors import InputError

PLACE = "network.network"
LIBRARIES = ("torchvision.models.", "timm.")
OF_WEIGHTS = re.compile(r"weights(_.*)?|pretrained.*|checkpoint.*|cache_dir")
"""Arguments of the libraries that fetch or read weights."""


@dataclass(frozen=True)
class NetworkSource:
    """Makes a network at full width, with initial weights.

    Args:
        node: ``_target_``, and the arguments.
        plugins: the packages that may be named.
        place: the key of the node, for errors.
    """

    node: Mapping[str, Any]
    plugins: tuple[str, ...] = ()
    place: str = PLACE

    def __post_init__(self) -> None:
        for key in self.node if self.target.startswith(LIBRARIES) else ():
            if OF_WEIGHTS.fullmatch(key):
                raise InputError(f"{join(self.place, key)}: cannot be given here; network.weights=DEFAULT starts from trained weights")

    @classmethod
    def of_header(cls, node: Any) -> "NetworkSource":
        """The source that a checkpoint names, of the packages that this process may name."""
        if not isinstance(node, Mapping):
            raise InputError("its network is no mapping with _target_")
        return cls(node, tuple(sorted(IMPORTED)), "network")

    @classmethod
    def for_classes(
        cls, node: Mapping[str, Any], classes_argument: str | None, classes: int, plugins: Sequence[str], place: str = PLACE
    ) -> "NetworkSource":
        """The source of a network with a number of outputs.

        Args:
            classes_argument: of the constructor; None if it takes none.

        Raises:
            InputError: if the constructor has no such argument.
        """
        source = cls(node, tuple(plugins), place)
        if classes_argument is None:
            return source
        parameters = inspect.signature(source.builder.located(source.made, place)).parameters
        takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
        if not takes_any and classes_argument not in parameters:
            known = f"; it takes {', '.join(parameters)}" if parameters else ""
            raise InputError(
                f"network.classes_argument: {source.target} takes no {classes_argument}{known}: give the name of its argument for the "
                "number of classes, or null if it takes none"
            )
        return cls({**node, classes_argument: classes}, tuple(plugins), place)

    def __call__(self) -> nn.Module:
        """A new one."""
        with warnings.catch_warnings(action="ignore"):  # as of weights that a network initialises slowly
            network: nn.Module = self.builder.build(self.made, self.place)
        return network

    @property
    def builder(self) -> Builder:
        """Makes objects with the source's packages."""
        return Builder(self.plugins)

    @property
    def made(self) -> Target:
        """The node with its role."""
        return Target(dict(self.node), NETWORK)

    @property
    def target(self) -> str:
        """The dotted path of what makes it."""
        return str(self.node.get("_target_", ""))

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.target.rpartition(".")[2]

    def outline(self) -> dict[str, Tensor] | None:
        """Its tensors without memory; None if a class of the user's cannot be made so."""
        try:
            with torch.device("meta"):
                return dict(self().state_dict())
        except Exception:
            if self.target.startswith(LIBRARIES):
                raise
            return None
