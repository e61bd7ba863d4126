"""The files of a network, and how each is run again: by what is in the file alone."""

import copy
import io
import json
import logging
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from nas_lightning.supernet.network_weights import HEADER_KEY

INPUT, OUTPUT = "images", "logits"
Run = Callable[[Tensor], Tensor]
"""Scaled images (batch, channels, H, W) -> logits (batch, classes)."""


class Scaled(nn.Module):
    """A network that takes images in [0, 1] and scales them itself."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, images: Tensor) -> Tensor:
        """Images in [0, 1] -> logits."""
        return self.network((images - self.mean) / self.std)


def write_safetensors(path: Path, network: nn.Module, header: Mapping[str, Any]) -> None:
    """Weights and norms, with the header in the metadata."""
    tensors = {name: tensor.detach().contiguous() for name, tensor in network.state_dict().items()}
    save_file(tensors, path, metadata={HEADER_KEY: json.dumps(header)})


def write_pt2(path: Path, program: torch.export.ExportedProgram, header: Mapping[str, Any] | None = None) -> None:
    """The program, with a header where network.py reads it."""
    torch.export.save(program, path, extra_files=None if header is None else {"header.json": json.dumps(header)})


def trace(network: nn.Module, image: Tensor) -> torch.export.ExportedProgram:
    """The network as a program of any number of images.

    Args:
        image: of its input's shape, (1, channels, H, W).
    """
    several = image.expand(2, -1, -1, -1).contiguous()  # a single one would be taken for a constant
    return torch.export.export(network, (several,), dynamic_shapes=({0: torch.export.Dim("batch")},))


def write_onnx(path: Path, program: torch.export.ExportedProgram, header: Mapping[str, Any]) -> None:
    """An ONNX model with named input and output, any number of images, and the header in its metadata."""
    import onnx

    for library in ("onnxscript", "onnx_ir", "torch.onnx"):
        logging.getLogger(library).setLevel(logging.WARNING)  # else each pass over the graph says what it did
    with redirect_stdout(io.StringIO()):
        exported = torch.onnx.export(program, dynamo=True, input_names=[INPUT], output_names=[OUTPUT], verbose=False)
    assert exported is not None
    model = exported.model_proto
    batch = model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param == batch:
                dimension.dim_param = "batch"
    onnx.helper.set_model_props(model, {HEADER_KEY: json.dumps(header)})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def run_class_file(folder: Path, reads: str) -> Run:
    """What network.py loads from the file that it reads."""
    spec = spec_from_file_location("network", folder / "network.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    network: Run = module.load(folder / reads)[0]
    return network


def run_weights(path: Path, network: nn.Module) -> Run:
    """A copy of the network, with the weights and norms in network.safetensors in place of its own."""
    copied = copy.deepcopy(network)
    for tensor in copied.state_dict().values():
        tensor.zero_()
    copied.load_state_dict(load_file(path))
    return copied


def run_pt2(path: Path) -> Run:
    """The program in network.pt2."""
    program: Run = torch.export.load(path).module()
    return program


def run_onnx(path: Path) -> Run:
    """The model in network.onnx on the CPU, with as many threads as PyTorch has."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run([OUTPUT], {INPUT: images.numpy()})[0])
