"""Measures the latency of a supernet's candidates, as nas-export would take them out, on the device of the Trainer."""

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from nas_lightning.commands.search_keys import SearchCommandConfig, SearchConfig
from nas_lightning.config.build import Builder
from nas_lightning.devices.launch import is_rank_zero
from nas_lightning.devices.trainer import make_trainer, wait_for_all
from nas_lightning.export.latency import latency
from nas_lightning.search.latency import FILE, LATENCIES, LATENCY, Latencies
from nas_lightning.space import Architecture
from nas_lightning.supernet import cut
from nas_lightning.supernet.families import AnyModule
from nas_lightning.supernet.layers import with_running_norms

BATCH = 32
"""Images of ``batch_latency`` unless given."""


def latency_names(search: SearchConfig) -> list[str]:
    """The latencies that a search has as costs."""
    return [name for name in LATENCIES if name in search.costs or name in (search.budgets or {})]


def make_latencies(config: SearchCommandConfig, supernet: AnyModule, folder: Path) -> Latencies | None:
    """Measures in a search's folder; None if no latency is a cost."""
    search = config.search
    if not (names := latency_names(search)):
        return None
    device = _device(config)
    images = {"latency": 1, "batch_latency": search.latency_batch or BATCH}
    protocol = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "images": {name: images[name] for name in names},
    }

    def measure(architecture: Architecture, count: int) -> Mapping[str, float]:
        return measure_candidate(supernet, architecture, count, device)

    return Latencies(folder / FILE, supernet.structure, protocol, measure, wait_for_all)


def measured_ends(config: SearchCommandConfig, supernet: AnyModule) -> dict[str, tuple[float, float]]:
    """Each latency of the smallest and of the largest candidate; none where a search is resumed, whose budgets were checked."""
    folder = Path(config.run_dir) / "search"
    latencies = make_latencies(config, supernet, folder)
    if latencies is None or config.resume or not is_rank_zero() or latencies.path.exists():
        return {}

    def lowest(architecture: Architecture, images: int) -> float:
        return min(latencies.measure(architecture, images)[LATENCY] for _ in range(3))  # the first of a process is often slow

    ends = supernet.space.smallest, supernet.space.largest
    return {name: (lowest(ends[0], images), lowest(ends[1], images)) for name, images in latencies.protocol["images"].items()}


@torch.inference_mode()
def measure_candidate(supernet: AnyModule, architecture: Architecture, images: int, device: torch.device) -> dict[str, Any]:
    """The candidate cut out, with running norms; their values, which calibration would change, take no time."""
    network = with_running_norms(cut(supernet, architecture)).to(device).eval()
    shape = images, supernet.channels, supernet.space.resolution, supernet.space.resolution
    return latency(network, torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(device))


def _device(config: SearchCommandConfig) -> torch.device:
    arguments = Builder(tuple(config.plugins)).build_values(config.trainer, "trainer")
    quiet = {**arguments, "callbacks": None, "logger": None, "profiler": None}
    return make_trainer(quiet, enable_checkpointing=False).strategy.root_device


def _processor() -> str:
    """The model of the CPU, as far as the system names it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor() or platform.machine()
    )
