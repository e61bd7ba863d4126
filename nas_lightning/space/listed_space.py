"""A space whose choices are listed one by one, as those that are read off a traced network."""

from dataclasses import dataclass
from typing import Any

from nas_lightning.errors import InputError, check_at_least
from nas_lightning.space.space import Space


@dataclass(frozen=True)
class ListedSpace(Space):
    """Named choices in forward order.

    Args:
        name: of the space in files and errors.
        names: of the choices.
        choices: their legal widths in channels, ascending.
        resolution: height and width of the images, in pixels.
    """

    name: str
    names: tuple[str, ...]
    choices: tuple[tuple[int, ...], ...]
    resolution: int
    trailing_entries: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "choices", tuple(map(tuple, self.choices)))
        check_at_least("space.resolution", self.resolution, 1)
        if not self.choices or len(self.names) != len(self.choices):
            raise InputError(f"space.names: {len(self.names)} names for {len(self.choices)} choices; each of one or more needs its own")
        if len(set(self.names)) < len(self.names):
            twice = next(name for name in self.names if self.names.count(name) > 1)
            raise InputError(f"space.names: {twice} stands twice")
        for name, widths in zip(self.names, self.choices, strict=True):
            whole = all(isinstance(width, int) and not isinstance(width, bool) and width >= 1 for width in widths)
            if not widths or not whole or list(widths) != sorted(set(widths)):
                raise InputError(f"space.choices: {name}: {list(widths)} must be one or more ascending integers of at least 1")

    def header(self) -> dict[str, Any]:
        """Plain values that rebuild the space: ``ListedSpace(**header)``."""
        return {
            "name": self.name,
            "names": list(self.names),
            "choices": [list(widths) for widths in self.choices],
            "resolution": self.resolution,
        }
