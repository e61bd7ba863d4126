"""Cuts a candidate out of a supernet, gives it norms of its own, and writes it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nas_lightning.data import ImageDataset
from nas_lightning.export.calibration import calibrate, evaluate, scaled, sizes
from nas_lightning.export.checks import IMAGES, check_difference, difference, limit_of
from nas_lightning.export.settings import ExportSettings
from nas_lightning.export.write import Exported, kept, name_of, write_export
from nas_lightning.runs.made_from import file_hash
from nas_lightning.space import Architecture
from nas_lightning.supernet import NormStatistics, cut
from nas_lightning.supernet.families import AnyModule, family_of
from nas_lightning.supernet.layers import with_running_norms


def cut_out(
    supernet: AnyModule,
    architecture: Architecture,
    dataset: ImageDataset,
    checkpoint: Path,
    folder: Path,
    settings: ExportSettings,
    environment: Mapping[str, Any],
) -> tuple[dict[str, Any], bool]:
    """Exports a candidate into a folder of its own in ``folder``, unless it is there.

    Returns:
        Its card, and whether it was written now.

    Raises:
        InputError: if a check fails, or its folder holds another export.
    """
    family, made_from = family_of(supernet), {"checkpoint": file_hash(checkpoint)}
    target = folder / name_of(family, architecture)
    if (card := kept(target, settings, made_from)) is not None:
        return card, False
    supernet = supernet.float()
    slice_cut = cut(supernet, architecture).eval()
    from_slice = _check_slice(supernet, slice_cut, architecture, scaled(dataset, dataset.test().images[:IMAGES]))
    before = evaluate(slice_cut, dataset, settings.images, settings.batch_size)
    is_batch = supernet.norm is NormStatistics.BATCH
    norms = (
        f"statistics of each batch of {sizes(before.images, settings.batch_size)}" if is_batch else "the supernet's averages over all paths"
    )
    network = with_running_norms(slice_cut).to(memory_format=torch.contiguous_format)
    calibration = calibrate(network, dataset, settings.calibration_count(dataset), settings.batch_size)
    exported = Exported(
        network=network,
        family=family,
        architecture=architecture,
        dataset=dataset,
        made_from=made_from,
        origin={"checkpoint": str(checkpoint), "calibration": calibration},
        before=(norms, before),
        after=f"averages of {calibration['images']:,} training images",
        differences={"cut_from_slice": from_slice},
    )
    return write_export(target, exported, settings, environment), True


@torch.no_grad()  # what inference mode converts can be traced no more
def _check_slice(supernet: AnyModule, network: nn.Module, architecture: Architecture, images: Tensor) -> float:
    """The largest difference of logits of a network cut out and of the supernet's slice, below what is rounding.

    The statistics of few values magnify rounding from norm to norm; in double precision only a wrong network differs.
    """
    for dtype in (torch.float32, torch.float64):
        expected = supernet.to(dtype)(images.to(dtype), architecture)
        found, limit = difference(expected, network.to(dtype)(images.to(dtype))), limit_of(expected)
        if found <= limit:
            break
    supernet.float(), network.float()  # the same bits again
    check_difference("the network cut out and of the slice", found, limit)
    return found
