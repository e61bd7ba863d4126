"""Downloads a public archive, quietly."""

import contextlib
import io
import logging
import socket
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 30.0  # without an answer; not for the whole archive


@dataclass(frozen=True, slots=True)
class Archive:
    """A .tar.gz on the web and its folder when unpacked."""

    url: str
    md5: str
    folder: str


def download(archive: Archive, into: Path) -> str | None:
    """Unpacks ``archive`` under ``into``, which is made if missing, and keeps no archive.

    Returns:
        None on success, otherwise what went wrong, in one line.
    """
    from torchvision.datasets.utils import download_and_extract_archive  # imports slowly, and few need it

    logger.info("downloading %s into %s", archive.url, into)
    try:
        with _timeout(TIMEOUT_SECONDS), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            download_and_extract_archive(archive.url, str(into), md5=archive.md5, remove_finished=True)
    except (OSError, RuntimeError, EOFError, HTTPException, tarfile.TarError) as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    return None


@contextlib.contextmanager
def _timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
