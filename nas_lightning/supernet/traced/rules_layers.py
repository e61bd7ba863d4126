"""What layers with weights do to channels."""

from nas_lightning.errors import InputError
from nas_lightning.supernet.traced.channel_ids import Dims
from nas_lightning.supernet.traced.flow import Flow, NoRule, Rule, described
from nas_lightning.supernet.traced.graph import Ref, Value


def _conv2d(call: Value, flow: Flow) -> Dims:
    ids, arguments = flow.ids, call.arguments
    if isinstance(arguments["groups"], Ref):
        raise NoRule(f"has a number of groups that depends on the images ({described(call)})")
    x, weight = flow.of(arguments["input"]), flow.of(arguments["weight"])
    for window in weight[2:]:
        ids.pin(window, "is a window's side")
    for side in x[2:]:
        ids.pin(side, f"is a side of the images ({described(call)})")
    groups = arguments["groups"]
    if groups == 1:
        ids.tie(weight[1], x[1], f"is read from channels that are kept whole ({described(call)})")
    else:  # whole groups are dropped: a group's inputs and outputs are one unit
        ids.pin(weight[1], "is a group's width")
        if x[1] is None or weight[0] is None:
            ids.pin(weight[0], f"has groups that read channels that are kept whole ({described(call)})")
            ids.pin(x[1], f"has groups that write a single channel ({described(call)})")
        else:
            read, written = x[1].reshape(groups, -1), weight[0].reshape(groups, -1)
            ids.unify(read[:, :1], read)
            ids.unify(written[:, :1], written)
            ids.unify(read[:, 0], written[:, 0])
    if isinstance(arguments["bias"], Ref):
        ids.tie(flow.of(arguments["bias"])[0], weight[0], "has a single channel")
    return [x[0], weight[0], *[None] * (len(x) - 2)]


def _conv1d(call: Value, flow: Flow) -> Dims:
    x, weight = flow.of(call.arguments["input"]), flow.of(call.arguments["weight"])
    if x[2] is None:
        return _conv2d(call, flow)
    if flow.shape(call.arguments["input"])[1] != 1:
        raise NoRule(f"is convolved along channels ({described(call)})")
    if call.shape[2] != flow.shape(call.arguments["input"])[2]:
        raise NoRule(f"is convolved along channels to another number of them ({described(call)})")
    for along in weight:  # a window that runs along channels, as in efficient channel attention
        flow.ids.pin(along, "is a window along channels")
    flow.ids.ordered.append(x[2])
    return [x[0], None, x[2]]


def _channel_norm(call: Value, flow: Flow) -> Dims:
    x = flow.of(call.arguments["input"])
    for name in ("weight", "bias", "running_mean", "running_var"):
        _tie_last(call, flow, name, x, 1)
    return x


def _instance_norm(call: Value, flow: Flow) -> Dims:
    if isinstance(call.arguments["running_mean"], Ref):
        raise InputError(f"network: the instance norm at {call.module or call.place} tracks averages, which is not understood")
    return _channel_norm(call, flow)


def _group_norm(call: Value, flow: Flow) -> Dims:
    x = _channel_norm(call, flow)
    if x[1] is not None and call.arguments["num_groups"] > 1:
        blocks = x[1].reshape(call.arguments["num_groups"], -1)
        flow.ids.unify(blocks[:, :1], blocks)
    return x


def _layer_norm(call: Value, flow: Flow) -> Dims:
    x = flow.of(call.arguments["input"])
    for name in ("weight", "bias"):
        for back in range(1, len(call.arguments["normalized_shape"]) + 1):
            _tie_last(call, flow, name, x, len(x) - back, back)
    return x


def _tie_last(call: Value, flow: Flow, name: str, x: Dims, dim: int, back: int = 1) -> None:
    if isinstance(argument := call.arguments.get(name), Ref):
        flow.ids.tie(flow.of(argument)[-back], x[dim], f"is scaled with channels that are kept whole ({described(call)})")


def _linear(call: Value, flow: Flow) -> Dims:
    x, weight = flow.of(call.arguments["input"]), flow.of(call.arguments["weight"])
    flow.ids.tie(weight[1], x[-1], f"is read from channels that are kept whole ({described(call)})")
    if isinstance(call.arguments["bias"], Ref):
        flow.ids.tie(flow.of(call.arguments["bias"])[0], weight[0], "has a single channel")
    return [*x[:-1], weight[0]]


def _prelu(call: Value, flow: Flow) -> Dims:
    x, weight = flow.of(call.arguments["input"]), flow.of(call.arguments["weight"])
    if weight and weight[0] is not None:  # else one slope for all
        flow.ids.tie(weight[0], x[1], f"is scaled with channels that are kept whole ({described(call)})")
    return x


def _weight_norm(call: Value, flow: Flow) -> Dims:
    direction, length, dim = flow.of(call.arguments["v"]), flow.of(call.arguments["g"]), call.arguments["dim"]
    if len(length) != len(direction):  # one length for the whole weight
        raise NoRule(f"has one norm for all its channels ({described(call)})")
    flow.ids.tie(length[dim], direction[dim], "has a single channel")
    return direction


LAYERS: dict[str, Rule] = {
    "conv2d": _conv2d,
    "conv1d": _conv1d,
    "batch_norm": _channel_norm,
    "instance_norm": _instance_norm,
    "group_norm": _group_norm,
    "layer_norm": _layer_norm,
    "rms_norm": _layer_norm,
    "linear": _linear,
    "prelu": _prelu,
    "_weight_norm": _weight_norm,
}
