"""Parameters and multiply-adds of many candidates at once, from the number of channels that each keeps."""

from collections.abc import Callable
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from torch import nn

from nas_lightning.space.structure import Cost
from nas_lightning.supernet.traced.adapt import Dimensions
from nas_lightning.supernet.traced.graph import Graph, Ref, Value
from nas_lightning.supernet.traced.rules import MAKES_CHANNELS, RULES

Integers = npt.NDArray[np.int64]
CONVOLUTIONS = ("conv1d", "conv2d", "conv3d")
READS = {"embedding", "index", "index_select", "gather"}
"""Operations that read entries of a matrix and multiply nothing."""


class Counted:
    """The sizes of (n, groups) units.

    Args:
        layouts: by value and part, along every dimension.
    """

    def __init__(self, graph: Graph, layouts: dict[int, list[Dimensions]], units: Integers) -> None:
        self.graph, self._layouts, self._units = graph, layouts, units
        self._one = np.ones(len(units), dtype=np.int64)
        self._of_images = {graph.images}
        for call in graph.calls:
            if not self._of_images.isdisjoint(call.inputs):
                self._of_images.add(call.index)

    def cost(self) -> Cost:
        """Parameters and multiply-adds, for one image of the traced size."""
        parameters = [self._sizes(index) for index, tensor in self.graph.tensors.items() if isinstance(tensor, nn.Parameter)]
        none = np.zeros_like(self._one)
        return Cost(sum(map(self._product, parameters), none), sum(map(self._multiply_adds, self.graph.calls), none))

    def activations(self) -> Integers:
        """Numbers that the convolutions write, for one image of the traced size."""
        written = [self._product(self._sizes(call.index)[1:]) for call in self.graph.calls if call.name in CONVOLUTIONS]
        return sum(written, np.zeros_like(self._one))

    def last_widths(self) -> Integers:
        """Features that the classifier reads, the layer that makes the logits; all 1 if no single layer does."""
        index, values = self.graph.logits, self.graph.values
        while values[index].name not in MAKES_CHANNELS:
            read = [other for other in dict.fromkeys(values[index].inputs) if other not in self.graph.tensors and values[other].shapes]
            if len(read) != 1:
                return self._one
            (index,) = read
        return self._sizes(values[index].arguments["weight"].index)[1]

    def _multiply_adds(self, call: Value) -> Integers:
        return self._of_all(call) // (self.graph.values[self.graph.images].shape[0] if call.index in self._of_images else 1)

    def _of_all(self, call: Value) -> Integers:
        """Multiply-adds for all images that were traced: their dimension may be folded into others."""
        return self.COUNTS[call.name](self, call) if call.name in self.COUNTS else np.zeros_like(self._one)

    def _of_convolution(self, call: Value) -> Integers:
        made = self._sizes(call.index)
        return self._product([*self._sizes(call.arguments["weight"].index), made[0], *made[2:]])

    def _of_transposed(self, call: Value) -> Integers:
        read = self._sizes(call.arguments["input"].index)
        return self._product([*self._sizes(call.arguments["weight"].index), read[0], *read[2:]])

    def _of_linear(self, call: Value) -> Integers:
        return self._product([*self._sizes(call.arguments["weight"].index), *self._sizes(call.index)[:-1]])

    def _of_product(self, call: Value) -> Integers:
        operands = [argument for argument in call.arguments.values() if isinstance(argument, Ref)][-2:]
        return self._product(self._sizes(call.index)) * self._sizes(operands[0].index)[-1]

    def _of_attention(self, call: Value) -> Integers:
        query, key, value = (self._sizes(call.arguments[name].index) for name in ("query", "key", "value"))
        return self._product(query[:-1]) * key[-2] * (query[-1] + value[-1])

    def _of_tensordot(self, call: Value) -> Integers:
        read = self._sizes(call.arguments["input"].index)
        return self._product([*self._sizes(call.index), *(read[dim] for dim in call.arguments["dims_self"])])

    def _of_einsum(self, call: Value) -> Integers:
        """Of the operands multiplied from left to right."""
        equation = call.arguments["equation"].replace(" ", "")
        sizes = [self._sizes(one.index) for one in call.arguments["tensors"]]
        read, arrow, written = equation.partition("->")
        terms = [_spelt_out(term, len(lengths)) for term, lengths in zip(read.split(","), sizes, strict=True)]
        length: dict[str, Integers] = {}
        for term, lengths in zip(terms, sizes, strict=True):
            for letter, one in zip(term, lengths, strict=True):
                length[letter] = np.maximum(one, length.get(letter, one))
        dots = {letter for letter in length if not letter.isascii()}
        kept = {*written.replace("...", "")} | (dots if "..." in written else set())
        if not arrow:
            kept = dots | {letter for letter in length if read.count(letter) == 1}
        total, have = np.zeros_like(self._one), {*terms[0]}
        for number, term in enumerate(terms[1:], start=1):
            later = kept.union(*terms[number + 1 :])
            left = (have | {*term}) & later  # what one operand alone has is summed before, unless something later has it
            total = total + self._product([length[letter] for letter in left | (have & {*term})])
            have = left
        return total

    COUNTS: ClassVar[dict[str, Callable[["Counted", Value], Integers]]] = {
        **dict.fromkeys(CONVOLUTIONS, _of_convolution),
        **dict.fromkeys(("conv_transpose1d", "conv_transpose2d"), _of_transposed),
        **dict.fromkeys(("matmul", "bmm", "mm", "baddbmm", "addmm"), _of_product),
        "linear": _of_linear,
        "scaled_dot_product_attention": _of_attention,
        "tensordot": _of_tensordot,
        "einsum": _of_einsum,
    }
    """By the name of an ATen operation."""

    def _sizes(self, index: int) -> list[Integers]:
        """The length of every dimension of a value, (n,) each."""
        lengths = zip(self.graph.values[index].shape, self._layouts[index][0], strict=True)
        return [size * self._one if layout is None else layout.counts(self._units) for size, layout in lengths]

    def _product(self, lengths: list[Integers]) -> Integers:
        return np.prod([self._one, *lengths], axis=0)


def uncounted(graph: Graph) -> list[Value]:
    """Operations with matrices of weights whose multiply-adds are not counted, as those of an LSTM."""
    matrices = {index for index, tensor in graph.tensors.items() if isinstance(tensor, nn.Parameter) and tensor.ndim > 1}
    known = {*Counted.COUNTS, *RULES, *READS}
    return [call for call in graph.calls if call.name not in known and not matrices.isdisjoint(call.inputs)]


def _spelt_out(term: str, dimensions: int) -> str:
    """A term of an einsum with letters of their own for the dimensions of its dots, the same for the same place from the right."""
    count = dimensions - len(term.replace("...", ""))
    return term.replace("...", "".join(chr(0x100 + place) for place in reversed(range(count))))
