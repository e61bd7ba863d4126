"""How far two halves of the images order the candidates alike: the content of ``halves.json``."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nas_lightning.errors import InputError
from nas_lightning.runs.reading import finite, read_json, read_rows
from nas_lightning.scoring.table import HALF_COLUMNS, part_files
from nas_lightning.space import Architecture, ReadsCodes


@dataclass(frozen=True)
class Halves:
    """Agreement of the cross entropies on the images of even and of odd place."""

    kendall: float | None
    """Tau-b; None if a half has no order."""
    candidates: int
    """Scored ones of the list."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def read_halves(path: Path) -> Halves:
    """Reads ``halves.json``.

    Raises:
        InputError: if it does not hold what a ranking writes.
    """
    content = read_json(path)
    kendall, count = (content.get(key) for key in ("kendall", "candidates"))
    is_number = isinstance(kendall, int | float) and not isinstance(kendall, bool) and -1 <= kendall <= 1
    if not (is_number or kendall is None) or type(count) is not int or count < 0:
        raise InputError(f"{path}: does not hold what a ranking writes there; rank again")
    return Halves(None if kendall is None else float(kendall), count)


def read_losses_of_halves(parts: Path, space: ReadsCodes) -> dict[Architecture, tuple[float, float]]:
    """The mean cross entropies on both halves, of the candidates whose part has them: those of older versions have none."""
    losses: dict[Architecture, tuple[float, float]] = {}
    for path in part_files(parts):
        for _, row in read_rows(path, ("architecture",)):
            even, odd = (finite(row.get(column, "")) for column in HALF_COLUMNS)
            if even is not None and odd is not None:
                losses[space.parse(row["architecture"])] = (even, odd)
    return losses
