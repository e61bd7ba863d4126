"""The report as one HTML page that needs nothing else: styles, plotly.js and data are in it, and it asks no network for anything."""

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from plotly.offline import get_plotlyjs

from nas_lightning.report.content import Figure, Part, Table, Tile

HERE = Path(__file__).parent


def as_page(title: str, subtitle: str, parts: Sequence[Part], text: str) -> str:
    """The whole page; the first part is the verdict. The browser is told to run our two scripts only, whatever the data hold.

    Args:
        text: the name of the file that shows the figures as pictures.
    """
    scripts = (_plotly(), (HERE / "page.js").read_text(encoding="utf-8"))
    allowed = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'" for one in scripts)
    policy = f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:"
    verdict, *others = parts
    links = "".join(f'<a href="#{_anchor(number)}">{html.escape(part.title)}</a>' for number, part in enumerate(others, start=1))
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{html.escape(title)}</title>",
            '<link rel="icon" href="data:,">',
            f"<style>\n{(HERE / 'page.css').read_text(encoding='utf-8')}</style>",
            "</head>",
            "<body>",
            "<main>",
            f"<header><p class='run'>{html.escape(title)}<span>{html.escape(subtitle)}</span></p>",
            f"<h1>{html.escape(verdict.title)}</h1>",
            *_tiles(verdict.tiles),
            *_body(verdict, text),
            "</header>",
            f"<nav>{links}</nav>",
            *(line for number, part in enumerate(others, start=1) for line in _section(number, part, text)),
            "</main>",
            f"<script>{scripts[0]}</script>",
            f"<script>{scripts[1]}</script>",
            "</body>",
            "</html>",
            "",
        ]
    )


def as_data(value: Any) -> str:
    """JSON that no HTML ends: it holds no tag, no comment and no entity."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


@cache
def _plotly() -> str:
    """plotly.js with the line ends that a browser counts."""
    return get_plotlyjs().replace("\r\n", "\n").replace("\r", "\n")


def _section(number: int, part: Part, text: str) -> list[str]:
    head = [f'<section id="{_anchor(number)}">', f"<h2>{html.escape(part.title)}</h2>", *_tiles(part.tiles)]
    return [*head, *_body(part, text), "</section>"]


def _body(part: Part, text: str) -> list[str]:
    lines = [f"<p>{html.escape(one)}</p>" for one in part.paragraphs]
    lines += [f"<p><b>{html.escape(about)}.</b> {html.escape(said)}</p>" for about, said in part.statements]
    if part.figure is not None:
        lines += _figure(part.figure, part.notes, text)
    for table in part.tables:
        lines += _table(table)
    if part.folded is not None:
        title, content = part.folded
        lines.append(f"<details><summary>{html.escape(title)}</summary><pre>{html.escape(content)}</pre></details>")
    return lines


def _figure(figure: Figure, notes: Sequence[str], text: str) -> list[str]:
    data = as_data({"traces": figure.traces, "layout": figure.layout, "narrow": figure.narrow})
    name, tall = html.escape(figure.name), figure.layout["height"]
    heights = f"--wide: {tall}px; --narrow: {figure.narrow.get('height', tall)}px"  # kept free until it is drawn
    return [
        "<figure>",
        f'<div class="drawing" id="{name}" role="img" aria-label="{html.escape(figure.says)}" style="{heights}"></div>',
        f'<script type="application/json" id="{name}-data">{data}</script>',
        f"<noscript><p class='quiet'>This figure needs JavaScript; {html.escape(text)} shows it as a picture.</p></noscript>",
        *([f"<figcaption>{html.escape(' '.join(notes))}</figcaption>"] if notes else []),
        "</figure>",
    ]


def _tiles(tiles: Sequence[Tile]) -> list[str]:
    if not tiles:
        return []
    shown = (
        f"<div><dt>{html.escape(tile.label)}</dt><dd>{html.escape(tile.value)}<small>{html.escape(tile.note)}</small></dd></div>"
        for tile in tiles
    )
    return ["<dl class='tiles'>", *shown, "</dl>"]


def _table(table: Table) -> list[str]:
    kind = "pairs" if len(table.head) == 2 else "wide"
    caption = f"<caption>{html.escape(table.caption)}</caption>" if table.caption else ""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in table.head)
    rows = ["<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows]
    opening = f"<div class='scroll' tabindex='0'><table class='{kind}'>{caption}"
    return [opening, f"<thead><tr>{head}</tr></thead><tbody>", *rows, "</tbody></table></div>"]


def _anchor(number: int) -> str:
    return f"part-{number}"
