"""Settings of this process: PyTorch's for thousands of small networks, output, exit. Imports nothing heavy."""

import ctypes
import io
import os
import platform
import select
import signal
import sys
from contextlib import suppress
from typing import Any

PR_SET_PDEATHSIG = 1
"""Option of Linux's prctl."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt."""


def configure_process() -> None:
    """Call before the first convolution; keeps what the environment has set already.

    oneDNN compiles a kernel per combination of shapes and caches 1,024, but the slices of one supernet take some 2,000
    per batch size: without a larger cache, compiling takes about a third of a training step. glibc returns large freed
    blocks to the system, which hands them out again page by page; kept, they are reused at once, at equal peak memory.
    OpenMP's threads wait for each other by spinning, which beside other programs keeps the awaited one from its core:
    a thousand turns, then sleep, is as fast on a quiet machine and several times faster on a busy one.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16384")
    settings_of_the_user = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")
    if platform.libc_ver()[0] == "glibc" and not any(name in os.environ for name in settings_of_the_user):
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, 2**30)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def limit_threads(count: int | None) -> None:
    """Lets PyTorch compute with ``count`` threads in this process; None keeps its own choice."""
    if count is not None:
        import torch

        torch.set_num_threads(count)


def outlive_output() -> None:
    """Lets this process and its children run on after their output is closed.

    Drops what a closed terminal, a pipe without a reader or a full disk refuses; escapes characters that the encoding
    lacks. A stream closed from the start leads to /dev/null; otherwise the next opened file would take its number, and
    receive its output. Each line is written at once, even outside a terminal, so that a log names the run folder when
    the run begins. Streams that are not the process's own (of a test, of a notebook) stay.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # takes the lowest free number: this one
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is not None:
            if (
                type(stream) is not io.TextIOWrapper
                or stream.fileno() != number
                or isinstance(getattr(stream.buffer, "raw", None), _LossyFile)
            ):
                continue
            with suppress(OSError):
                stream.flush()
        file = io.BufferedWriter(_LossyFile(number, "wb", closefd=False))
        encoding, at_once = ("utf-8", False) if stream is None else (stream.encoding, stream.write_through)
        setattr(sys, name, io.TextIOWrapper(file, encoding, errors="backslashreplace", line_buffering=True, write_through=at_once))


class _LossyFile(io.FileIO):
    """A file that drops what cannot be written to it."""

    def write(self, data: Any, /) -> int:
        try:
            while (written := super().write(data)) is None:  # opened as non-blocking
                select.select([], [self], [])
            return written
        except OSError:
            return memoryview(data).nbytes


def end_with_parent(parent: int) -> None:
    """Ends this process when its parent ends, however that happens; only on Linux.

    Args:
        parent: its process id; it may have ended before this call.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
