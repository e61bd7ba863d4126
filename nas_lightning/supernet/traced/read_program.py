"""Reads an exported program as a flat list of operations with named arguments, none of them in place."""

import inspect
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram
from torch.fx.operator_schemas import get_signature_for_torch_op

from nas_lightning.errors import InputError
from nas_lightning.supernet.traced.graph import SPLITS, Graph, Ref, Side, Value

aten = torch.ops.aten
OPERATOR = type(aten.add.Tensor)
"""Class of the ATen operations in an exported graph; the others are Python's, on sizes."""


def read_program(source: nn.Module, program: ExportedProgram) -> Graph:
    """The values that the result needs.

    Raises:
        InputError: if one of the operations holds a graph of its own.
    """
    signature, graph = program.graph_signature, program.graph
    for node in graph.nodes:
        if node.op == "get_attr":  # the graph
            network, holder = type(source).__name__, next(iter(node.users))
            what = f"{operation_name(holder)} holds operations of its own, as a block under torch.autocast or a condition does"
            raise InputError(f"network: {network} cannot be traced: {what} (in {_place(holder)[1] or network})")
    of_module = {**signature.inputs_to_parameters, **signature.inputs_to_buffers, **signature.inputs_to_lifted_tensor_constants}
    stored = {**program.constants, **program.state_dict}
    _make_functional(graph)
    (result,) = (node for node in next(node for node in graph.nodes if node.op == "output").all_input_nodes)
    needed, left = set(), [result]
    while left:
        node = left.pop()
        if node not in needed:
            needed.add(node)
            left += node.all_input_nodes
    images = next(node for node in graph.nodes if node.op == "placeholder" and node.name in signature.user_inputs)
    needed.add(images)
    index_of: dict[fx.Node, int] = {}
    shared: dict[int, int] = {}
    values: list[Value] = []
    tensors: dict[int, Tensor] = {}
    for node in graph.nodes:
        if node not in needed:
            continue
        tensor = stored[of_module[node.name]] if node.name in of_module else None
        if tensor is not None and id(tensor) in shared:
            index_of[node] = shared[id(tensor)]
            continue
        index_of[node] = len(values)
        if tensor is not None:
            tensors[len(values)] = tensor
            shared[id(tensor)] = len(values)
        name = "images" if node is images else of_module.get(node.name)
        values.append(_value(node, len(values), name, index_of))
    return Graph(tuple(values), index_of[images], index_of[result], tensors, source, _sides(images, program))


def _sides(images: fx.Node, program: ExportedProgram) -> tuple[Side, Side]:
    def side(length: Any) -> Side:
        if not isinstance(length, torch.SymInt):
            return Side(length, length, "")
        known = program.range_constraints.get(length.node.expr)
        return Side(1, math.inf, str(length)) if known is None else Side(int(known.lower), float(known.upper), str(length))

    height, width = images.meta["val"].shape[2:]
    return side(height), side(width)


def _value(node: fx.Node, index: int, name: str | None, index_of: dict[fx.Node, int]) -> Value:
    meta = node.meta.get("val")
    parts = meta if isinstance(meta, list | tuple) else [meta]
    results = [part for part in parts if isinstance(part, Tensor)]
    shapes = tuple(tuple(map(_size, part.shape)) for part in results)
    if name is not None:
        return Value(index, name, shapes)

    def plain(argument: Any) -> Any:
        if isinstance(argument, fx.Node):
            return Ref(index_of[argument])
        return [plain(part) for part in argument] if isinstance(argument, list | tuple) else argument

    place, module = _place(node)
    if not isinstance(node.target, OPERATOR):
        arguments = {f"argument{position}": plain(value) for position, value in enumerate(node.args)}
        return Value(index, operation_name(node), shapes, node.target, arguments, place=place, module=module)  # type: ignore[arg-type]
    target, (arguments, keyword_only) = node.target, _arguments(node)
    arguments = {key: plain(argument) for key, argument in arguments.items()}
    name = operation_name(node)
    if name in ("view", "_unsafe_view") and "size" in arguments:  # a view of a slice, or of images in another memory format, may not exist
        name, target, arguments = "reshape", aten.reshape.default, {"input": arguments["input"], "shape": arguments["size"]}
    if name in SPLITS:  # one operation for all ways to cut into parts of known sizes
        at = arguments["dim"] % len(shapes[0])
        if not any(isinstance(part.shape[at], torch.SymInt) for part in results):
            target = aten.split_with_sizes.default
            arguments = {"input": arguments["input"], "split_sizes": [shape[at] for shape in shapes], "dim": at}
    return Value(index, name, shapes, target, arguments, keyword_only, place, module)


def _place(node: fx.Node) -> tuple[str, str]:
    """The line of the user's code, and the module it belongs to."""
    lines = [line for line in (node.stack_trace or "").splitlines() if line.strip().startswith("File ")]
    path, _, rest = lines[-1].strip().removeprefix('File "').partition('", line ') if lines else ("", "", "")
    scopes = list(node.meta.get("nn_module_stack", {}).values())
    return (f"{Path(path).name}:{rest.partition(',')[0]}" if rest else "", scopes[-1][0] if scopes else "")


def _arguments(node: fx.Node) -> tuple[dict[str, Any], frozenset[str]]:
    """All arguments by the names of the operation's schema, and which of them are keywords only."""
    signature = get_signature_for_torch_op(node.target)[0]  # type: ignore[arg-type,index]
    bound = signature.bind(*node.args, **{"input" if name == "self" else name: value for name, value in node.kwargs.items()})
    given = set(bound.arguments)
    bound.apply_defaults()
    only = {name for name, parameter in signature.parameters.items() if parameter.kind is inspect.Parameter.KEYWORD_ONLY}
    # The defaults of keywords may be words of the schema, not values.
    return {name: value for name, value in bound.arguments.items() if name in given or name not in only}, frozenset(only & given)


def operation_name(node: fx.Node) -> str:
    """The name of a node's operation, without namespace and overload."""
    if isinstance(node.target, OPERATOR):
        return node.target.name().partition("::")[2].partition(".")[0]
    return getattr(node.target, "__name__", str(node.target))


def _size(side: Any) -> int:
    return int(side.node.hint or 0) if isinstance(side, torch.SymInt) else int(side)


def _kinds(target: Any) -> list[Any]:
    """The types of an operation's arguments, in order."""
    signature = get_signature_for_torch_op(target)[0]  # type: ignore[index]
    return [parameter.annotation for parameter in signature.parameters.values()]


def _plain_form(target: Any, name: str) -> Any:
    """The operation that takes the same arguments as one in place; its overload may have another name."""
    packet, wanted = getattr(aten, name), _kinds(target)
    for overload in packet.overloads():
        found = getattr(packet, overload)
        if _kinds(found) == wanted and not overload.endswith("out"):
            return found
    raise InputError(f"network: cannot be traced: {target.name()} in place has no plain form; write it without the underscore")


def _make_functional(graph: fx.Graph) -> None:
    """Operations in place become plain ones; later readers of what they changed read the result."""
    now: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        if node.op not in ("call_function", "output"):
            continue
        for old in list(node.all_input_nodes):
            if old in now:
                node.replace_input_with(old, now[old])
        name = operation_name(node)
        if not isinstance(node.target, OPERATOR) or not name.endswith("_") or name.endswith("__"):
            continue
        changed = node.args[0]
        node.target = _plain_form(node.target, name[:-1])
        for old, new in list(now.items()):
            if new is changed:
                now[old] = node
        now[changed] = node
