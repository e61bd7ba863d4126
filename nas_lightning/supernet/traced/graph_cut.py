"""One candidate as a ``torch.fx.GraphModule``: plain code, for networks whose own module cannot be narrowed."""

from typing import Any

import torch
from torch import Tensor, fx, nn

from nas_lightning.space import Architecture
from nas_lightning.supernet.layers import FROZEN, NormStatistics
from nas_lightning.supernet.traced.graph import Ref, Value
from nas_lightning.supernet.traced.network import DROPOUTS, TracedSupernet

LEAVES = ("weight", "bias", "running_mean", "running_var")
WINDOW = ("stride", "padding", "dilation", "groups")


@torch.no_grad()
def cut_graph(supernet: TracedSupernet, architecture: Architecture) -> fx.GraphModule:
    """The candidate with copied weights under the names of the user's module.

    Convolutions, linear layers, batch norms and dropouts are modules, so that they can be initialised, recalibrated and
    switched to training as in any network.

    Raises:
        InputError: if the architecture is not in the supernet's space.
    """
    supernet.space.check(architecture)
    return _Cut(supernet, architecture).module()


class _Cut:
    def __init__(self, supernet: TracedSupernet, architecture: Architecture) -> None:
        self.supernet, self.program = supernet, supernet.program
        self.units = self.program.units(architecture.widths)
        self.graph, self.root = fx.Graph(), nn.Module()
        self.nodes: dict[int, fx.Node] = {}
        self.norms: dict[tuple[tuple[str, int], ...], str] = {}
        self.frozen: str | None = None
        self.tensors = supernet.tensors
        readers = [index for call in self.program.graph.calls for index in call.inputs]
        self.read_once = {index for index in self.program.graph.tensors if readers.count(index) == 1}

    def module(self) -> fx.GraphModule:
        traced = self.program.graph
        self.nodes[traced.images] = self.graph.placeholder("images")
        for call in traced.calls:
            arguments = self.program.adapted(call, self.units)
            made = self._as_module(call, arguments)
            self.nodes[call.index] = made if made is not None else self._as_function(call, arguments)
        self.graph.output(self.nodes[traced.logits])
        module = fx.GraphModule(self.root, self.graph, type(traced.source).__name__).train(self.supernet.training)
        module.meta[FROZEN] = self.frozen
        return module

    def _as_module(self, call: Value, arguments: dict[str, Any]) -> fx.Node | None:
        """A layer of PyTorch, if the operation's tensors are those of one layer of the user's and of no other operation."""
        if call.name in DROPOUTS:
            kind = nn.Dropout if call.name == "dropout" else nn.Dropout2d if call.name == "feature_dropout" else nn.AlphaDropout
            return self._called(self._unused_name(call), kind(call.arguments["p"]), arguments["input"])
        if call.name == "batch_norm":
            return self._as_norm(call, arguments)
        if call.name not in ("conv2d", "linear"):
            return None
        values = self.program.graph.values
        given = {leaf: arguments[leaf].index for leaf in LEAVES if isinstance(arguments.get(leaf), Ref)}
        is_layers = all(values[index].name.endswith(f".{leaf}") for leaf, index in given.items())  # and no tensor of another name
        owners = {values[index].name.removesuffix(f".{leaf}") for leaf, index in given.items()}
        if not is_layers or len(owners) != 1 or not all(index in self.read_once for index in given.values()):
            return None
        others = [index for index in self.program.graph.tensors if index not in given.values()]
        if any(values[index].name.startswith(f"{min(owners)}.") for index in others):  # a layer of the user's own, with more tensors
            return None
        kept = {leaf: self._narrowed(index) for leaf, index in given.items() if index in self.tensors}
        return self._called(owners.pop(), self._filled(_layer(call.name, arguments, kept), kept, given), arguments["input"])

    def _as_norm(self, call: Value, arguments: dict[str, Any]) -> fx.Node | None:
        """One layer for each set of tensors, which may run several times, and whose owner may have others; each moves its averages."""
        given = {leaf: arguments[leaf].index for leaf in LEAVES if isinstance(arguments.get(leaf), Ref)}
        values, argument = self.program.graph.values, arguments["input"]
        if (name := self.norms.get(key := tuple(given.items()))) is not None and given:
            return self.graph.call_module(name, (self.nodes[argument.index],))
        readers = [other for other in self.program.graph.calls if {*given.values()} & {*other.inputs}]
        are_layers = all(index in self.program.graph.tensors for index in given.values())
        is_read_otherwise = any(other.arguments.get(leaf) != Ref(index) for other in readers for leaf, index in given.items())
        if not given or not are_layers or is_read_otherwise:
            return None
        owner = values[min(given.values())].name.rpartition(".")[0]
        is_alone = all(index in given.values() for index in self.program.graph.tensors if values[index].name.startswith(f"{owner}."))
        kept = {leaf: self._narrowed(index) for leaf, index in given.items() if index in self.tensors}
        layer = _batch_norm(call, kept, self.supernet.norm, self.program.count(argument.index, self.units))
        if not (is_alone and owner):  # numbered in order, whatever else was traced
            taken = sum(name.rpartition(".")[0] == owner and name.rpartition(".")[2].startswith("norm_") for name in self.norms.values())
            owner = f"{owner}.norm_{taken}".lstrip(".")
        self.norms[key] = owner
        return self._called(self.norms[key], self._filled(layer, kept, given), argument)

    def _filled(self, layer: nn.Module, kept: dict[str, Tensor], given: dict[str, int]) -> nn.Module:
        for leaf, tensor in kept.items():
            setattr(layer, leaf, self._as_parameter(given[leaf], tensor) if leaf in ("weight", "bias") else tensor)
        return layer

    def _as_parameter(self, index: int, tensor: Tensor) -> nn.Parameter:
        return nn.Parameter(tensor, requires_grad=self.program.graph.tensors[index].requires_grad)

    def _called(self, name: str, layer: nn.Module, argument: Ref) -> fx.Node:
        _put(self.root, name, layer)
        return self.graph.call_module(name, (self.nodes[argument.index],))

    def _unused_name(self, call: Value) -> str:
        return f"{call.module}.dropout_{call.index}" if call.module else f"dropout_{call.index}"

    def _as_function(self, call: Value, arguments: dict[str, Any]) -> fx.Node:
        if call.name == "batch_norm" and isinstance(call.arguments["running_mean"], Ref):
            self.frozen = call.module or call.place or call.name
        if call.name == "batch_norm" and self.supernet.norm is NormStatistics.BATCH:
            arguments = {**arguments, "running_mean": None, "running_var": None, "training": True}
        plain = {name: self._plain(argument) for name, argument in arguments.items()}
        if isinstance(plain.get("device"), torch.device):  # of the trace
            plain["device"] = self.graph.call_function(getattr, (self.nodes[self.program.graph.images], "device"))
        keywords = {name: value for name, value in plain.items() if name in call.keyword_only}
        positional = tuple(value for name, value in plain.items() if name not in call.keyword_only)
        if call.target is None:
            raise TypeError(f"{call.name} is not computed")
        return self.graph.call_function(call.target, positional, keywords)

    def _plain(self, argument: Any) -> Any:
        if isinstance(argument, list):
            return [self._plain(part) for part in argument]
        return self._node(argument.index) if isinstance(argument, Ref) else argument

    def _node(self, index: int) -> fx.Node:
        if index not in self.nodes:
            name = self.program.graph.values[index].name
            tensor = self._narrowed(index)
            is_parameter = isinstance(self.program.graph.tensors[index], nn.Parameter)
            _put(self.root, name, self._as_parameter(index, tensor) if is_parameter else tensor)
            self.nodes[index] = self.graph.get_attr(name)
        return self.nodes[index]

    def _narrowed(self, index: int) -> Tensor:
        return self.program.narrowed(index, self.tensors[index], self.units).detach().clone()


def _layer(name: str, arguments: dict[str, Any], kept: dict[str, Tensor]) -> nn.Module:
    made, read = kept["weight"].shape[:2]
    if name == "linear":
        return nn.Linear(read, made, bias="bias" in kept, device="meta")
    how: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in arguments.items() if key in WINDOW}
    rows, columns = kept["weight"].shape[2:]
    return nn.Conv2d(read * how["groups"], made, (rows, columns), bias="bias" in kept, device="meta", **how)


def _batch_norm(call: Value, kept: dict[str, Tensor], norm: NormStatistics, width: int) -> nn.Module:
    kind = nn.BatchNorm2d if len(call.shape) == 4 else nn.BatchNorm1d
    tracked = norm is NormStatistics.RUNNING and "running_mean" in kept
    momentum = call.arguments["momentum"] or None  # a mean of all batches is traced as 0
    return kind(width, eps=call.arguments["eps"], momentum=momentum, affine="weight" in kept, track_running_stats=tracked)


def _put(root: nn.Module, name: str, content: nn.Module | Tensor) -> None:
    *path, leaf = name.split(".")
    for part in path:
        if part not in dict(root.named_children()):
            root.add_module(part, nn.Module())
        root = root.get_submodule(part)
    if isinstance(content, nn.Module):
        for name, child in dict(root.named_children()).get(leaf, nn.Module()).named_children():  # a dropout before it
            content.add_module(name, child)
        root.add_module(leaf, content)
    elif isinstance(content, nn.Parameter):
        root.register_parameter(leaf, content)
    else:
        root.register_buffer(leaf, content)
