"""The settings of the process, each seen from a fresh one."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

FAULTS = """
import os, resource
from nas_lightning.devices.process import configure_process
configure_process()
def faults(size=40 << 20, times=8):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        bytearray(size)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) * resource.getpagesize() / size / times
faults(times=1)
print(os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"], faults())
"""


def run(**environment: str) -> tuple[str, float]:
    """The kernel cache's capacity, and the share of a repeatedly allocated block that the system hands out anew each time."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_", "ONEDNN_"))}
    done = subprocess.run([sys.executable, "-c", FAULTS], env=kept | environment, capture_output=True, text=True, check=True)
    capacity, share = done.stdout.split()
    return capacity, float(share)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="tunes glibc's allocator only")
def test_large_blocks_are_used_again_and_kernels_have_room() -> None:
    capacity, share = run()
    assert int(capacity) > 5000
    assert share < 0.1


def test_what_the_user_has_set_stays() -> None:
    capacity, share = run(ONEDNN_PRIMITIVE_CACHE_CAPACITY="77", MALLOC_MMAP_THRESHOLD_="100000")
    assert capacity == "77"
    assert share > 0.9


SPINS = """
import os
from nas_lightning.devices.process import configure_process
configure_process()
print(os.environ.get("GOMP_SPINCOUNT"))
"""


@pytest.mark.parametrize(
    ("given", "spins"), [({}, "1000"), ({"GOMP_SPINCOUNT": "5"}, "5"), ({"OMP_WAIT_POLICY": "active"}, "None")], ids=str
)
def test_waiting_threads_soon_sleep_unless_the_user_says_how_they_wait(given: dict[str, str], spins: str) -> None:
    kept = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run([sys.executable, "-c", SPINS], env=kept | given, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == spins


@pytest.mark.slow
def test_a_run_computes_with_the_threads_that_it_is_given(tmp_path: Path) -> None:
    code = "from nas_lightning.commands.train import main; main()"
    options = ["experiment=micro", "standalone=none", "ranking=none", "threads=3", f"run_dir={tmp_path}/run"]
    options += [f"~stages.{name}" for name in ("pretrain", "finetune", "distill_1")]
    subprocess.run([sys.executable, "-c", code, *options], capture_output=True, text=True, check=True)
    assert json.loads((tmp_path / "run/environment.json").read_text())["threads"] == 3
