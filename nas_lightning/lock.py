"""One process at a time works in a run folder; those that Lightning starts for further devices belong to the first."""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from nas_lightning.errors import InputError
from nas_lightning.processes import is_first


@contextmanager
def only_owner(folder: Path) -> Iterator[None]:
    """Holds the folder. A process that dies lets go of it with its life, so that no lock outlives its owner.

    Raises:
        InputError: if another process holds it, naming that one.
    """
    if not is_first():
        yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(f"{folder}: is in use by {_owner(folder)}; wait until it has ended, or give another run_dir") from None
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror or error})") from None
    try:
        owner = {"process": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        for left in folder.rglob(".*.tmp"):  # files that a killed owner had not finished
            left.unlink(missing_ok=True)
        with suppress(OSError):  # on a full disk: it only tells others whom to wait for
            (folder / ".owner.json").write_text(json.dumps(owner) + "\n", encoding="utf-8")
        yield
    finally:
        (folder / ".owner.json").unlink(missing_ok=True)
        lock.release()


def is_owned(folder: Path) -> bool:
    """Whether a living process holds the folder."""
    if not folder.is_dir():
        return False
    try:
        with FileLock(folder / ".lock", timeout=0):
            return False
    except Timeout:
        return True


def _owner(folder: Path) -> str:
    try:
        owner = json.loads((folder / ".owner.json").read_text(encoding="utf-8"))
        return f"process {owner['process']} on {owner['host']} since {owner['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
