"""The report as one HTML page: it contains style, script, pictures and data, and needs no network."""

import base64
import hashlib
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nas_lightning.report.content import Link, Part, Table, Tile
from nas_lightning.report.drawing import Figure, Picture

HERE = Path(__file__).parent


def as_page(title: str, subtitle: str, parts: Sequence[Part], pictures: Mapping[str, tuple[Picture, Picture]]) -> str:
    """The whole page; the first part is the verdict. The browser runs only our script, whatever the data hold.

    Args:
        pictures: wide and narrow, by the figure's name.
    """
    script, style = ((HERE / name).read_text(encoding="utf-8") for name in ("page.js", "page.css"))
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; script-src 'sha256-{allowed}'; style-src 'unsafe-inline'; img-src data:"
    verdict, *others = parts
    links = "".join(f'<a href="#part-{number}">{html.escape(part.title)}</a>' for number, part in enumerate(others, start=1))
    lines = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{html.escape(title)}</title>",
        '<link rel="icon" href="data:,">',
        f"<style>\n{style}</style>",
        "</head>",
        "<body>",
        "<main>",
        f"<header><p class='run'>{html.escape(title)}<span>{html.escape(subtitle)}</span></p>",
        f"<h1>{html.escape(verdict.title)}</h1>",
        *_body(verdict, pictures),
        "</header>",
        f"<nav>{links}</nav>",
    ]
    for number, part in enumerate(others, start=1):
        head = f"<h2>{html.escape(part.title)}</h2>"
        opening, closing = (f"<details><summary>{head}</summary>", "</details>") if part.is_folded else (head, "")
        lines += [f'<section id="part-{number}">{opening}', *_body(part, pictures), f"{closing}</section>"]
    return "\n".join([*lines, "</main>", f"<script>{script}</script>", "</body>", "</html>", ""])


def as_data(value: Any) -> str:
    """JSON that is safe in HTML: without tags, comments and entities."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _body(part: Part, pictures: Mapping[str, tuple[Picture, Picture]]) -> list[str]:
    lines = _tiles(part.tiles)
    lines += [f"<p>{html.escape(paragraph)}</p>" for paragraph in part.paragraphs]
    lines += [
        f"<p><b>{html.escape(subject)}.</b> {html.escape(statement)}</p>" for subject, statement in part.statements.items() if statement
    ]
    if part.figure is not None:
        lines += _figure(part.figure, pictures[part.figure.name], part.notes)
    for table in part.tables:
        lines += _table(table)
    if part.listing is not None:
        title, text = part.listing
        lines.append(f"<details><summary>{html.escape(title)}</summary><pre>{html.escape(text)}</pre></details>")
    return lines


def _figure(figure: Figure, pictures: tuple[Picture, Picture], notes: Sequence[str]) -> list[str]:
    wide, narrow = pictures
    panels = [
        {"x": _rounded(hover.x), "y": _rounded(hover.y), "texts": list(hover.texts), "reach": hover.reach, "wide": desk, "narrow": phone}
        for hover, desk, phone in zip(wide.hovers, wide.frames, narrow.frames, strict=True)
    ]
    name, says = html.escape(figure.name), html.escape(figure.says)
    sources = [f"data:image/png;base64,{base64.b64encode(picture.png).decode()}" for picture in pictures]
    return [
        f'<figure><div class="drawing" id="{name}"><picture>',
        f'<source media="(max-width: 719px)" srcset="{sources[1]}" width="{narrow.width}" height="{narrow.height}">',
        f'<img src="{sources[0]}" width="{wide.width}" height="{wide.height}" alt="{says}">',
        "</picture></div>",
        f'<script type="application/json" id="{name}-data">{as_data(panels)}</script>',
        *([f"<figcaption>{html.escape(' '.join(notes))}</figcaption>"] if notes else []),
        "</figure>",
    ]


def _rounded(values: Sequence[float]) -> list[float]:
    return [float(f"{value:.7g}") for value in values]


def _tiles(tiles: Sequence[Tile]) -> list[str]:
    items = (
        f"<div><dt>{html.escape(label)}</dt><dd>{html.escape(value)}<small>{html.escape(note)}</small></dd></div>"
        for label, value, note in tiles
    )
    return ["<dl class='tiles'>", *items, "</dl>"] if tiles else []


def _table(table: Table) -> list[str]:
    kind = "pairs" if len(table.head) == 2 else "wide"
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in table.head)
    rows = ["<tr>" + "".join(f"<td>{_cell(cell)}</td>" for cell in row) + "</tr>" for row in table.rows]
    caption = html.escape(table.caption)
    opening, closing = (f"<details><summary>{caption}</summary>", "</details>") if table.is_folded else ("", "")
    above = f"<caption>{caption}</caption>" if caption and not table.is_folded else ""
    scroll = f"<div class='scroll' tabindex='0'><table class='{kind}'>{above}<thead><tr>{head}</tr></thead><tbody>"
    return [opening, scroll, *rows, f"</tbody></table></div>{closing}"]


def _cell(cell: str | Link) -> str:
    if isinstance(cell, Link):
        return f'<a href="{html.escape(cell.address)}">{html.escape(cell.text)}</a>'
    return html.escape(cell)
