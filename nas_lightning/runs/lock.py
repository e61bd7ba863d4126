"""Locks a run folder, or each part of its ranking, for one process; those that Lightning starts share its lock.
No run folder lies in another."""

import json
import os
import re
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from nas_lightning.devices.launch import is_rank_zero
from nas_lightning.errors import InputError
from nas_lightning.runs.writing import TEMPORARY, write_json

WRITTEN = ("", "stages/*", "standalone", "ranking", "ranking/*", "ranking/*/*", "ranking/*/*/*", "report")
"""Places where a run folder's owner writes."""
CLAIMED = ("", "ranking", "standalone")
"""Places of the two first files of every run folder."""
MOST_OF_CONFIG = 2**20
"""Characters of a config to search."""
LONGEST_CLAIM = 300.0
"""Seconds that a part waits for the claims of other parts."""
MOST_LOOKED_AT = 20_000
"""Maximum files and folders below a new run folder to search for another run."""


@contextmanager
def only_owner(folder: Path, part: str = "") -> Iterator[None]:
    """Locks the folder. The lock ends with its process, so that none outlives its owner.

    Args:
        part: name of the part to lock, empty for the whole. Other processes, on other machines too, may hold other
            parts at the same time, but not the whole.

    Raises:
        InputError: if another process holds it, naming that process, or if the folder lies in or above another run's.
    """
    if not is_rank_zero():
        yield
        return
    check_apart(folder)
    name = f".{part}" if part else ""
    lock, owner = folder / f"{name}.lock", folder / f"{name}.owner.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = FileLock(lock)
        held.acquire(timeout=0)
    except Timeout:
        raise _in_use(folder, owner) from None
    except OSError as error:
        raise _unwritable(folder, error) from None
    try:
        # Each locks first and then checks, so that of two simultaneous processes at least one sees the other.
        for part_lock in () if part else folder.glob(".*.lock"):
            if _is_held(part_lock):
                raise _in_use(folder, part_lock.with_suffix(".owner.json"))
        _remove_unfinished(folder, [f"ranking/parts/{part}", f"ranking/*/parts/{part}"] if part else WRITTEN)
        with suppress(InputError):  # on a full disk: the file only names the owner to other processes
            write_json(owner, {"process": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")})
        yield
    finally:
        owner.unlink(missing_ok=True)
        held.release()


@contextmanager
def claiming(folder: Path, part: str) -> Iterator[None]:
    """Locks the files that all parts share; the owner of the whole folder holds them anyway.

    Raises:
        InputError: if another process holds the whole folder for longer than a claim takes.
    """
    if not part or not is_rank_zero():
        yield
        return
    owner = folder / ".owner.json"
    # Written by the owner of the whole folder, who holds the lock for as long as it works; parts hold it for their claims.
    lock = FileLock(folder / ".lock", timeout=LONGEST_CLAIM / 10 if owner.is_file() else LONGEST_CLAIM)
    try:
        lock.acquire()
    except Timeout:
        raise _in_use(folder, owner) from None
    except OSError as error:
        raise _unwritable(folder, error) from None
    try:
        yield
    finally:
        lock.release()


def check_apart(folder: Path, *, holds_runs: bool = False) -> None:
    """Refuses a run folder in or above another run's, as one would take the other's files for its own.

    Args:
        holds_runs: whether runs may lie below the folder.

    Raises:
        InputError: naming the other run; also for a folder with too many files to search.
    """
    path = folder.resolve()
    if outer := next((parent for parent in path.parents if _is_run(parent)), None):
        raise InputError(f"run_dir: {folder} lies in the run folder {outer}; give another run_dir")
    if not holds_runs and not _is_run(path) and (inner := _run_below(path)):
        raise InputError(f"run_dir: {folder} has the run folder {inner} below it; give another run_dir")


def _is_run(folder: Path) -> bool:
    """Whether a run was begun in the folder, or a living process holds it."""
    try:
        if any(_is_claimed(folder / part, part) for part in CLAIMED):
            return True
        return (folder / ".owner.json").is_file() and is_owned(folder)
    except OSError:  # another user's
        return False


def _is_claimed(folder: Path, part: str) -> bool:
    if not all((folder / name).is_file() for name in ("config.yaml", "environment.json")):
        return False
    if not part:
        return True
    with (folder / "config.yaml").open(encoding="utf-8", errors="replace") as file:
        # A whole run whose folder is named ranking or standalone is not a part of a run above it.
        return re.search(r"^stages:", file.read(MOST_OF_CONFIG), re.MULTILINE) is None


def _run_below(folder: Path) -> Path | None:
    """The nearest run below, in folders that are not hidden."""
    looked_at, left = 0, deque([folder])
    while left:
        with suppress(OSError), os.scandir(left.popleft()) as entries:
            for entry in entries:
                looked_at += 1
                if looked_at > MOST_LOOKED_AT:
                    raise InputError(f"run_dir: {folder} has more than {MOST_LOOKED_AT:,} files below it; give a folder of the run's own")
                if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
                    if _is_run(Path(entry.path)):
                        return Path(entry.path)
                    left.append(Path(entry.path))
    return None


def _remove_unfinished(folder: Path, places: Sequence[str]) -> None:
    """Removes the temporary files of a killed owner."""
    for place in places:
        for left in folder.glob(f"{place}/.*.tmp".removeprefix("/")):
            if TEMPORARY.fullmatch(left.name):
                with suppress(OSError):
                    left.unlink()


def is_owned(folder: Path) -> bool:
    """Whether a living process holds the folder."""
    return folder.is_dir() and _is_held(folder / ".lock")


def _is_held(lock: Path) -> bool:
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True
    except OSError as error:
        raise _unwritable(lock, error) from None


def _unwritable(path: Path, error: OSError) -> InputError:
    return InputError(f"{path}: cannot be written ({error.strerror or error})")


def _in_use(folder: Path, owner: Path) -> InputError:
    try:
        content = json.loads(owner.read_text(encoding="utf-8"))
        name = f"process {content['process']} on {content['host']} since {content['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        name = "another process"
    return InputError(f"{folder}: is in use by {name}; wait until it has ended, or give another run_dir")
