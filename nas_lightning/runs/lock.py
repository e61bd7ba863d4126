"""Locks a run folder, or each part of its ranking, for one process; those that Lightning starts share its lock."""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from nas_lightning.devices.launch import is_rank_zero
from nas_lightning.errors import InputError
from nas_lightning.runs.writing import TEMPORARY, write_json

WRITTEN = ("", "stages/*", "standalone", "ranking", "ranking/*", "ranking/*/*", "ranking/*/*/*", "search", "report", "export/*")
"""Places where a run folder's owner writes."""
PLACES = ("", "ranking", "standalone", "search")
"""Places of a run folder's config: of nas-train, nas-rank, nas-standalone and nas-search."""
WINNERS, CHOSEN = "winners", "chosen"
"""The folders that a run of its own may have in another's: the best of the ranking, and the chosen of the search, trained alone."""
LONGEST_CLAIM = 300.0
"""Seconds that a part waits for the claims of other parts."""


class InUse(InputError):
    """Another process holds the lock."""


@contextmanager
def only_owner(folder: Path, part: str = "") -> Iterator[None]:
    """Locks the folder. The lock ends with its process, so that none outlives its owner.

    Args:
        part: name of the part to lock, empty for the whole. Other processes, on other machines too, may hold other
            parts at the same time, but not the whole.

    Raises:
        InputError: if another process holds it, naming that process, or if the folder lies in another run's.
    """
    if not is_rank_zero():
        yield
        return
    check_apart(folder)
    name = f".{part}" if part else ""
    owner = folder / f"{name}.owner.json"
    with suppress(OSError):  # reported by the lock
        folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / f"{name}.lock", owner):
        try:
            # Each locks first and then checks, so that of two simultaneous processes at least one sees the other.
            for part_lock in () if part else folder.glob(".*.lock"):
                with _locked(part_lock, part_lock.with_suffix(".owner.json")):
                    pass
            # The temporary files of a killed owner.
            for place in (f"ranking/parts/{part}", f"ranking/*/parts/{part}") if part else WRITTEN:
                for left in folder.glob(f"{place}/.*.tmp".removeprefix("/")):
                    if TEMPORARY.fullmatch(left.name):
                        with suppress(OSError):
                            left.unlink()
            with suppress(InputError):  # on a full disk: the file only names the owner to other processes
                write_json(owner, {"process": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")})
            yield
        finally:
            owner.unlink(missing_ok=True)


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
    with _locked(folder / ".lock", owner, LONGEST_CLAIM / 10 if owner.is_file() else LONGEST_CLAIM):
        yield


def check_apart(folder: Path) -> None:
    """Refuses a folder in another run's, whose files could become its own."""
    whole = folder.resolve()
    for parent in whole.parents[1:] if whole.name in (WINNERS, CHOSEN) else whole.parents:
        if any((parent / place / "config.yaml").is_file() and (parent / place / "environment.json").is_file() for place in PLACES):
            raise InputError(f"run_dir: {folder} lies in the run folder {parent}; give another run_dir")


def check_free(folder: Path) -> None:
    """Raises InUse for a folder that a living process of this machine holds as a whole, before anything is imported or made."""
    owner = folder / ".owner.json"
    try:
        content = json.loads(owner.read_text(encoding="utf-8"))
        process = int(content["process"])
        if process < 1 or content["host"] != socket.gethostname():
            return
        os.kill(process, 0)
    except (OSError, ValueError, KeyError, TypeError):  # no owner, or one that has ended
        return
    with _locked(folder / ".lock", owner, 1.0):  # it may be ending
        pass


def is_owned(folder: Path) -> bool:
    """Whether a living process holds the folder."""
    if not folder.is_dir():
        return False
    try:
        with _locked(folder / ".lock", folder / ".owner.json"):
            return False
    except InUse:
        return True


@contextmanager
def _locked(lock: Path, owner: Path, timeout: float = 0) -> Iterator[None]:
    """Holds a lock, whose holder may have written ``owner``."""
    held = FileLock(lock, timeout=timeout)
    try:
        held.acquire()
    except Timeout:
        try:
            content = json.loads(owner.read_text(encoding="utf-8"))
            name = f"process {content['process']} on {content['host']} since {content['since']}"
        except (OSError, ValueError, KeyError, TypeError):
            name = "another process"
        raise InUse(f"{lock.parent}: is in use by {name}; wait until it has ended, or give another run_dir") from None
    except OSError as error:
        raise InputError(f"{lock.parent}: cannot be written ({error.strerror or error})") from None
    try:
        yield
    finally:
        held.release()
