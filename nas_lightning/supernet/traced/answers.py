"""What a network computes, as a few numbers: its logits with weights that depend on their names alone."""

import numpy as np
import torch

from nas_lightning.rng import generator
from nas_lightning.supernet.traced.network import TracedSupernet
from nas_lightning.supernet.traced.program import Program

IMAGES, CLASSES = 2, 8


@torch.no_grad()
def answers_of(program: Program) -> list[float]:
    """The first logits of the largest candidate for two images, in the program's precision; empty if one is not finite.

    A checkpoint keeps them, so that a class whose code was changed since is told from the one that was trained. Names, shapes
    and ties would not tell a ReLU from a tanh.
    """
    supernet = TracedSupernet(program).to(program.precision).eval()
    for name, tensor in supernet.network.state_dict().items():
        if tensor.is_floating_point():
            rng, shape = generator(0, f"answers {name}"), tuple(tensor.shape)
            spread = (len(tensor) / tensor.numel()) ** 0.5 if tensor.ndim > 1 else 0.0
            values = rng.standard_normal(shape) * spread if tensor.ndim > 1 else rng.uniform(0.5, 1.5, shape)
            tensor.copy_(torch.from_numpy(np.asarray(values)))
    side = supernet.space.resolution
    images = torch.from_numpy(generator(0, "answers of images").standard_normal((IMAGES, supernet.channels, side, side)))
    logits = supernet(images.to(program.precision), supernet.space.largest)[:, :CLASSES].flatten()
    return [float(f"{value:.6g}") for value in logits.tolist()] if bool(logits.isfinite().all()) else []
