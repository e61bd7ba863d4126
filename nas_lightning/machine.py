"""Settings of this process that PyTorch leaves at values unfit for thousands of small networks. Imports nothing heavy."""

import ctypes
import os
import platform
import signal
import sys

PR_SET_PDEATHSIG = 1
"""Of Linux's prctl."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt."""


def tune_process() -> None:
    """Call before the first convolution; what the environment has set already stays.

    oneDNN compiles a kernel for each combination of shapes and keeps the last 1,024, but the slices of one supernet take some 2,000 for
    each batch size: without more room about a third of a training step is compiling. And glibc returns large freed blocks to the system,
    which hands them out again page by page; kept, they are used again at once (the process's peak memory does not grow by it).
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16384")
    settings_of_the_user = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")
    if platform.libc_ver()[0] == "glibc" and not any(name in os.environ for name in settings_of_the_user):
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, 2**30)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def end_with_parent(parent: int) -> None:
    """Lets this process end when its parent does, however that ends; on Linux, where alone it can be asked for.

    Args:
        parent: its process number; it may have ended before this call.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
