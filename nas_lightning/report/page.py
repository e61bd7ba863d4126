"""The report as one HTML page: it contains style, script, pictures and data, and needs no network."""

import base64
import hashlib
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from nas_lightning.report.content import Link, Part, Table, Tile
from nas_lightning.report.drawing import Figure, Picture
from nas_lightning.report.text import writable

HERE = Path(__file__).parent


def as_page(title: str, subtitle: str, parts: Sequence[Part], pictures: Mapping[str, tuple[Picture, Picture]]) -> str:
    """The whole page; the first part is the verdict. The browser runs only our script, whatever the data hold.

    Args:
        pictures: wide and narrow, by the figure's name.
    """
    template, script, style = ((HERE / f"page.{kind}").read_text(encoding="utf-8") for kind in ("html", "js", "css"))
    verdict, *others = parts
    numbered = list(enumerate(others, start=1))
    return Template(template).substitute(
        allowed=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        title=_escaped(title),
        subtitle=_escaped(subtitle),
        headline=_escaped(verdict.title),
        verdict=_body(verdict, pictures),
        links="".join(f'<a href="#part-{number}">{_escaped(part.title)}</a>' for number, part in numbered),
        sections="\n".join(f'<section id="part-{number}">{_section(part, pictures)}</section>' for number, part in numbered),
        script=script,
        style=style,
    )


def as_data(value: Any) -> str:
    """JSON that is safe in HTML: without tags, comments and entities."""
    unsafe = {ord(character): f"\\u{ord(character):04x}" for character in "<>&"}
    return json.dumps(value, allow_nan=False, separators=(",", ":")).translate(unsafe)


def _escaped(text: str) -> str:
    return html.escape(writable(text))


def _folded(summary: str, body: str) -> str:
    return f"<details><summary>{summary}</summary>\n{body}</details>"


def _section(part: Part, pictures: Mapping[str, tuple[Picture, Picture]]) -> str:
    head, body = f"<h2>{_escaped(part.title)}</h2>", _body(part, pictures)
    return _folded(head, body) if part.is_folded else f"{head}\n{body}"


def _body(part: Part, pictures: Mapping[str, tuple[Picture, Picture]]) -> str:
    command = part.command and f'<pre class="command">{_escaped(part.command)}</pre>'
    blocks = [
        *(f"<p>{_escaped(paragraph)}</p>" for paragraph in part.lead if paragraph),
        command if part.lead else "",
        _tiles(part.tiles),
        _views([_figure(figure, pictures[figure.name]) for figure in part.figures], part.figures),
        *(f"<p>{_escaped(paragraph)}</p>" for paragraph in part.paragraphs if paragraph),
        *(f"<p><b>{_escaped(subject)}.</b> {_escaped(text)}</p>" for subject, text in part.statements.items() if text),
        "" if part.lead else command,
        *map(_table, part.tables),
        *(_folded(_escaped(title), f"<pre>{_escaped(text)}</pre>") for title, text in part.listings.items()),
    ]
    return "\n".join(filter(None, blocks))


def _views(drawn: Sequence[str], figures: Sequence[Figure]) -> str:
    """The figures; of several one at a time, which a switch without script chooses."""
    if len(drawn) < 2:
        return "".join(drawn)
    group, names = f"view-{figures[0].name}", [figure.name for figure in figures]
    switches = "".join(
        f'<input type="radio" name="{group}" id="see-{name}"{"" if name != names[0] else " checked"}>'
        f'<label for="see-{name}">{_escaped(figure.view)}</label>'
        for name, figure in zip(names, figures, strict=True)
    )
    return f'<div class="views">{switches}{"".join(drawn)}</div>'


def _figure(figure: Figure, pictures: tuple[Picture, Picture]) -> str:
    wide, narrow = pictures
    panels = [
        {"x": _rounded(hover.x), "y": _rounded(hover.y), "texts": list(hover.texts), "wide": desk, "narrow": phone}
        for hover, desk, phone in zip(wide.hovers, wide.frames, narrow.frames, strict=True)
    ]
    desk_source, phone_source = (f"data:image/png;base64,{base64.b64encode(picture.png).decode()}" for picture in pictures)
    return f"""<figure><div class="drawing" id="{figure.name}"><picture>
<source media="(max-width: 719px)" srcset="{phone_source}" width="{narrow.width}" height="{narrow.height}">
<img src="{desk_source}" width="{wide.width}" height="{wide.height}" alt="{_escaped(figure.says)}">
</picture></div>
<script type="application/json" id="{figure.name}-data">{as_data(panels)}</script>
<figcaption>{_escaped(" ".join(figure.notes))}</figcaption>
</figure>"""


def _rounded(values: Sequence[float]) -> list[float]:
    return [float(f"{value:.7g}") for value in values]


def _tiles(tiles: Sequence[Tile]) -> str:
    items = (
        f"<div><dt>{_escaped(label)}</dt><dd>{_escaped(value)}<small>{_escaped(note)}</small></dd></div>" for label, value, note in tiles
    )
    return f'<dl class="tiles">{"".join(items)}</dl>' if tiles else ""


def _table(table: Table) -> str:
    if not table.rows:
        return ""
    columns, caption = table.columns, _escaped(table.caption)
    head = "".join(f"<th>{_escaped(column)}</th>" for column in columns)
    rows = "\n".join("<tr>" + "".join(_cell(column, row.get(column, "")) for column in columns) + "</tr>" for row in table.rows)
    above = f"<caption>{caption}</caption>" if caption and not table.is_folded else ""
    kind = "pairs" if len(columns) == 2 else "wide"
    named = f' data-file="{_escaped(table.file)}"' if table.file else ""
    inner = f'<table class="{kind}"{named}>{above}<thead><tr>{head}</tr></thead><tbody>\n{rows}</tbody></table>'
    text = f'<div class="scroll" tabindex="0">{inner}</div>'
    return _folded(caption, text) if table.is_folded else text


def _cell(column: str, cell: str | Link) -> str:
    if isinstance(cell, Link):
        return f'<td><a href="{_escaped(cell.address)}">{_escaped(cell.text)}</a></td>'
    if column == "architecture":  # the code of a deep network is longer than a line
        return f'<td class="code">{_escaped(cell).replace("-", "-<wbr>")}</td>'
    return f"<td>{_escaped(cell)}</td>"
