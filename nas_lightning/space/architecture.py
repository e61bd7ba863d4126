"""A candidate network as a value."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Architecture:
    """The output width, in channels, of every searchable layer in forward order."""

    widths: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> "Architecture":
        """Reads the file form, such as ``16-8-12``.

        Raises:
            ValueError: if an entry is not a plain decimal integer. Whether the widths are legal is the space's question.
        """
        entries = text.split("-")
        for entry in entries:
            # int() alone would take "+4", " 4", "1_6" and digits of other scripts.
            if not (entry.isascii() and entry.isdigit()):
                raise ValueError(f"{entry!r} is not an integer")
        return cls(tuple(int(entry) for entry in entries))

    def __str__(self) -> str:
        return "-".join(str(width) for width in self.widths)
