"""A user's network as a flat list of operations."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor, nn

from nas_lightning.errors import InputError

SPLITS = ("chunk", "split", "split_with_sizes", "tensor_split")
"""Operations that cut a dimension into parts."""


@dataclass(frozen=True, slots=True)
class Ref:
    """Stands for a value in an operation's arguments."""

    index: int


@dataclass(frozen=True, eq=False)
class Value:
    """The images, a tensor of the network, or the result of an operation."""

    index: int
    name: str
    """Of the operation without overload, such as ``conv2d``; of a tensor, its name in the module; of the images, ``images``."""
    shapes: tuple[tuple[int, ...], ...]
    """One shape, those of all parts of an operation with several results, or none for a size."""
    target: Callable[..., Any] | None = None
    """What computes it; None for tensors and images."""
    arguments: dict[str, Any] = field(default_factory=dict)
    """By the names of the operation's schema, defaults filled in, with ``Ref`` for values."""
    keyword_only: frozenset[str] = frozenset()
    place: str = ""
    """The line of the user's code, as ``net.py:71``."""
    module: str = ""
    """The user's module that computes it, as ``blocks.3.attn``."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of its one tensor, at the traced size."""
        return self.shapes[0]

    @property
    def inputs(self) -> list[int]:
        """The values that it reads."""
        return list(refs_in(self.arguments))

    def run(self, arguments: dict[str, Any]) -> Any:
        """Computes it from plain arguments."""
        if self.target is None:
            raise TypeError(f"{self.name} is not computed")
        if not self.keyword_only:
            return self.target(*arguments.values())
        positional = [value for name, value in arguments.items() if name not in self.keyword_only]
        return self.target(*positional, **{name: arguments[name] for name in self.keyword_only})


class Side(NamedTuple):
    """The legal lengths of the images' sides, as far as the trace shows."""

    least: int
    most: float
    symbol: str
    """Sides of the same symbol are equal."""


@dataclass(frozen=True, eq=False)
class Graph:
    """The values that the logits need, each behind those that it reads."""

    values: tuple[Value, ...]
    images: int
    """Index of the images."""
    logits: int
    """Index of the result."""
    tensors: dict[int, Tensor]
    """The module's parameters, buffers and constants by their values' indices; one that is shared has one index."""
    source: nn.Module
    """The traced copy of the user's module, which has the same tensors."""
    sides: tuple["Side", "Side"]
    """The legal heights and widths of images; their number is free."""

    def check_sides(self, sides: Sequence[int]) -> None:
        """Raises InputError unless images of this height and width can run."""
        legal = all(side.least <= length <= side.most for side, length in zip(self.sides, sides, strict=True))
        if not legal or (self.sides[0].symbol == self.sides[1].symbol and sides[0] != sides[1]):
            advice = "" if self.sides[0].symbol else "; load_supernet(path, free_sides=True) traces it for those that it allows"
            traced = "x".join(map(str, self.values[self.images].shape[2:]))
            raise InputError(f"images of {sides[0]}x{sides[1]} pixels: the network was traced for {traced}, and not for such sides{advice}")

    @property
    def calls(self) -> list[Value]:
        """The operations in order."""
        return [value for value in self.values if value.target is not None]


def refs_in(argument: Any) -> Iterator[int]:
    """The indices of all values in an argument."""
    if isinstance(argument, Ref):
        yield argument.index
    elif isinstance(argument, list | tuple):
        for part in argument:
            yield from refs_in(part)
    elif isinstance(argument, dict):
        yield from refs_in(list(argument.values()))


def replace_refs(argument: Any, value_of: Callable[[int], Any]) -> Any:
    """The argument with values in place of references."""
    if isinstance(argument, Ref):
        return value_of(argument.index)
    if isinstance(argument, list | tuple):
        return [replace_refs(part, value_of) for part in argument]
    return argument
