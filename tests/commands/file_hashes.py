"""Whether files are the same."""

import hashlib
from pathlib import Path


def hashes(folder: Path, pattern: str) -> dict[str, str]:
    """SHA-256 of the files that match, by their path within the folder."""
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob(pattern)}
