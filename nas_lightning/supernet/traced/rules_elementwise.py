"""What operations without weights do to channels: those on elements, on windows of pixels, and over a dimension."""

from nas_lightning.supernet.traced.channel_ids import Dims, Ids
from nas_lightning.supernet.traced.flow import Flow, NoRule, Parts, Rule, constants, described
from nas_lightning.supernet.traced.graph import Ref, Value

ON_ELEMENTS = """abs add addcmul alias alpha_dropout atan2 celu clamp clamp_max clamp_min clone contiguous detach div dropout elu erf exp
feature_dropout floor fmod gelu hard_swish hardshrink hardsigmoid hardswish hardtanh leaky_relu lerp lift_fresh_copy log log_sigmoid
maximum minimum mish mul native_dropout neg ones_like pow reciprocal relu relu6 rsqrt rsub selu sigmoid sign silu softplus softshrink
softsign sqrt square sub tanh threshold to true_divide type_as where zeros_like _to_copy"""
ON_PIXELS = """adaptive_avg_pool2d adaptive_max_pool2d avg_pool2d interpolate lp_pool2d max_pool2d max_pool2d_with_indices
upsample_bicubic2d upsample_bilinear2d upsample_nearest2d"""
OVER_A_DIMENSION = "amax amin linalg_vector_norm logsumexp max mean min norm std sum var var_mean"
ALONG_A_DIMENSION = "cumsum log_softmax softmax _softmax"
PRODUCTS = "baddbmm bmm einsum matmul mm scaled_dot_product_attention"
"""Of two computed tensors: what attention consists of."""


def _on_elements(call: Value, flow: Flow) -> Dims:
    shape, operands = call.shape, flow.tensors(call)
    dims: Dims = []
    for back in range(1, len(shape) + 1):
        present: list[Ids | None] = []
        for index in operands:
            of_operand = flow.graph.values[index].shape
            if back <= len(of_operand) and of_operand[-back] == shape[-back] != 1:  # else it is repeated along this one
                present.append(flow.parts[index][0][-back])
        dims.append(flow.merge(present, call))
    return dims[::-1]


def _on_pixels(call: Value, flow: Flow) -> Dims | Parts:
    dims = list(flow.of(call.arguments["input"]))
    for side in dims[-2:]:
        flow.ids.pin(side, f"is a side of the images ({described(call)})")
    dims[-2:] = [None, None]
    return Parts([dims] * len(call.shapes)) if len(call.shapes) > 1 else dims


def _padded(call: Value, flow: Flow) -> Dims:
    dims = list(flow.of(call.arguments["input"]))
    pad = call.arguments["pad" if "pad" in call.arguments else "padding"]
    for back in range(len(pad) // 2):
        before, after = pad[2 * back], pad[2 * back + 1]
        ids = dims[-1 - back]
        if ids is not None and (before or after):
            flow.ids.pin(ids, f"is padded along channels ({described(call)})")
            dims[-1 - back] = constants(len(ids) + before + after)
    return dims


def _over_a_dimension(call: Value, flow: Flow) -> Dims | Parts:
    if isinstance(call.arguments.get("other"), Ref):  # max and min of two tensors
        return _on_elements(call, flow)
    dims = flow.of(call.arguments["input"])
    over = call.arguments.get("dim")
    over = [over] if isinstance(over, int) else over or range(len(dims))
    gone = {dim % len(dims) for dim in over}
    if len(call.shape) == len(dims):
        out: Dims = [None if dim in gone else ids for dim, ids in enumerate(dims)]
    else:
        out = [ids for dim, ids in enumerate(dims) if dim not in gone]
    return Parts([out] * len(call.shapes)) if len(call.shapes) > 1 else out


def _along_a_dimension(call: Value, flow: Flow) -> Dims:
    dims = flow.of(call.arguments["input"])
    if call.name == "cumsum" and (ids := dims[call.arguments["dim"]]) is not None:
        flow.ids.ordered.append(ids)
    return dims


def _gated(call: Value, flow: Flow) -> Dims:
    dims = list(flow.of(call.arguments["input"]))
    at = call.arguments["dim"] % len(dims)
    if (ids := dims[at]) is not None:
        dims[at] = flow.ids.equal_parts(ids, 2)[0]
    return dims


def _product(call: Value, flow: Flow) -> Dims:
    if flow.narrows(call):
        raise NoRule(f"flows into a product of two computed tensors, as in attention ({described(call)})")
    return [None] * len(call.shape)


ELEMENTWISE: dict[str, Rule] = {
    **dict.fromkeys(ON_ELEMENTS.split(), _on_elements),
    **dict.fromkeys(ON_PIXELS.split(), _on_pixels),
    **dict.fromkeys(OVER_A_DIMENSION.split(), _over_a_dimension),
    **dict.fromkeys(ALONG_A_DIMENSION.split(), _along_a_dimension),
    **dict.fromkeys(("constant_pad_nd", "pad", "reflection_pad2d", "replication_pad2d"), _padded),
    "glu": _gated,
    **dict.fromkeys(PRODUCTS.split(), _product),
}
