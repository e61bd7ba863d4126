"""The report as Markdown, with pictures next to it."""

import html
import re
from collections.abc import Sequence

from nas_lightning.report.content import Link, Part, Table
from nas_lightning.report.drawing import Figure
from nas_lightning.report.text import writable

SPECIAL = re.compile(r"([\\`*_\[\]|~$])")
OPENING = re.compile(r"^([#+-](?=[#+-]*(\s|$))|\d+(?=[.)](\s|$)))")
"""The start of a line that makes a heading or a list."""
LINK = re.compile(r"(?<=www)\.|:(?=//)", re.IGNORECASE)
"""Characters that turn a bare address into a link."""


def as_markdown(title: str, parts: Sequence[Part], pictures: str) -> str:
    """The whole text.

    Args:
        parts: the first is the verdict.
        pictures: the folder of the figures' PNG files, relative to the text.
    """
    return f"# {literal(title)}\n\n" + "\n\n".join(block for part in parts for block in _blocks(part, pictures)) + "\n"


def literal(text: str) -> str:
    """The text in one line, escaped for Markdown and the HTML in it."""
    escaped = SPECIAL.sub(r"\\\1", html.escape(" ".join(writable(text).split()), quote=False))
    return OPENING.sub(_entity, LINK.sub(_entity, escaped))


def _figure(figure: Figure, pictures: str) -> list[str]:
    return [f"![{literal(figure.says)}]({pictures}/{figure.name}.png)", *map(literal, figure.notes)]


def _blocks(part: Part, pictures: str) -> list[str]:
    tiles = Table([{label: f"{value} {note}".strip() for label, value, note in part.tiles}] if part.tiles else [])
    blocks = [
        f"## {literal(part.title)}",
        *map(literal, filter(None, part.lead)),
        _code(part.command) if part.lead else "",
        *_table(tiles),
        *(block for figure in part.figures for block in _figure(figure, pictures)),
        *map(literal, filter(None, part.paragraphs)),
        *(f"**{literal(subject)}.** {literal(statement)}" for subject, statement in part.statements.items() if statement),
        "" if part.lead else _code(part.command),
        *(block for table in part.tables for block in _table(table)),
    ]
    return list(filter(None, blocks))


def _code(text: str) -> str:
    lines = "\n".join(map(writable, text.splitlines()))
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", lines)), default=0))
    return f"{fence}\n{lines}\n{fence}" if lines else ""


def _entity(match: re.Match[str]) -> str:
    return "".join(f"&#{ord(character)};" for character in match.group())


def _table(table: Table) -> list[str]:
    columns = table.columns
    rows = [map(literal, columns), ["---"] * len(columns), *([_cell(row.get(column, "")) for column in columns] for row in table.rows)]
    lines = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return [*([f"{literal(table.caption)}:"] if table.caption else []), lines] if table.rows else []


def _cell(cell: str | Link) -> str:
    return f"[{literal(cell.text)}]({cell.address})" if isinstance(cell, Link) else literal(cell)
