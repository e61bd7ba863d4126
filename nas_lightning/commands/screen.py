"""What a ranking shows at its end, in 80 columns: one table, one sentence, the best three, the page, the next command."""

import shlex
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from tabulate import tabulate

from nas_lightning.agreement import Agreement, kendall_tau
from nas_lightning.agreement.summary import against_baselines
from nas_lightning.console.overrides import SYNTAX, quoted
from nas_lightning.runs.lock import WINNERS
from nas_lightning.scoring.table import LABELS, ScoreTable
from nas_lightning.search.budgets import best_under_budgets

WIDTH = 80
BEST = 3
"""Candidates that are shown."""
BEST_TRAINED, TRUTH = 10, 24
"""Candidates for the next command to train alone: the best once the ranking was judged, or some to judge it."""
AGAIN = ("run_dir=", "resume=", "dry_run=", "standalone.enabled=", "standalone.count=")
"""Arguments that the next command gives anew."""


def ranking_screen(
    table: ScoreTable, score: str, agreement: Agreement | None, budgets: Sequence[int] | None = None, notes: Sequence[str] = ()
) -> str:
    """The table and the sentence of a ranking; without known accuracies the table is that of the best candidates.

    Args:
        score: orders the candidates.
        budgets: multiply-adds; the best candidate under each is shown too.
        notes: on how the scores were made, that a reader should know.
    """
    title = f"The best of {table.population.count}, ordered by {LABELS[score]}"
    parts = [f"{title}\n{_candidates(table, score, {str(row): row for row in table.best_rows(score)[:BEST].tolist()})}"]
    if budgets is not None:
        rows = {f"<= {budget.multiply_adds / 1e6:.3f} M": budget.row for budget in best_under_budgets(table, score, budgets)}
        parts.append(f"The best under a budget of multiply-adds\n{_candidates(table, score, rows, 'budget')}")
    if agreement is None:
        return fitted([*parts, _as_by_size(table, score), *notes])
    known = f"{agreement.n + agreement.missing:,} of {len(table.population.distinct_rows):,} candidates have a known accuracy"
    return fitted([f"{known}\n{agreement.table()}", f"{against_baselines(agreement, LABELS[score])}.", *parts, *notes])


def closing(run_dir: Path, page: str, trained_by: Sequence[str] = (), root: str | None = None) -> str:
    """The page of a run, and the command that comes next.

    Args:
        page: the line that names it; empty without one.
        trained_by: the command line of a run of nas-train, its program first; given again it can train a truth.
        root: the folder of the images, if they have one.
    """
    scores = run_dir / "ranking/scores.csv"
    if not scores.is_file():
        aim, where = "rank candidates", [] if root is None else [assigned("data.root", root)]
        words = ["nas-rank", assigned("checkpoint", f"{run_dir}/supernet.safetensors"), *where]
    elif trained_by and not (run_dir / "ranking/agreement.json").is_file():
        aim, (program, *arguments) = "train some candidates alone, to see how far to trust this order", trained_by
        kept = [argument for argument in arguments if not argument.startswith(AGAIN)]
        start = ["python", program] if program.endswith(".py") else [Path(program).name]
        count = min(TRUTH, _candidates_in(scores))
        words = [*start, *kept, "standalone.enabled=true", f"standalone.count={count}", assigned("run_dir", str(run_dir))]
    else:
        aim, count = "train the winners alone", min(BEST_TRAINED, _candidates_in(scores))
        place = assigned("run_dir", f"{run_dir}/{WINNERS}")
        words = ["nas-standalone", "choose=best", assigned("scores", str(scores)), f"count={count}", place]
    return f"{page}next, {aim}:\n{to_paste(words)}"


def assigned(key: str, value: str) -> str:
    """An argument of a command, with quotes for Hydra where it needs them."""
    return f"{key}={value if SYNTAX.isdisjoint(value) and ',' not in value else quoted(value)}"


def to_paste(words: Sequence[str]) -> str:
    """A command for a shell, broken into lines where it is long."""
    lines = [" "]
    for word in map(shlex.quote, words):
        if len(lines[-1]) + len(word) + 3 > WIDTH and lines[-1].strip():
            lines.append("   ")
        lines[-1] += f" {word}"
    return " \\\n".join(lines)


def _candidates_in(scores: Path) -> int:
    return scores.read_bytes().count(b"\n") - 1


def fitted(paragraphs: Sequence[str]) -> str:
    """The paragraphs, their long lines broken, but never before a per cent sign."""
    lines = [line.replace(" %", "\N{NO-BREAK SPACE}%") for paragraph in paragraphs for line in ["", *paragraph.split("\n")]]
    broken = (textwrap.fill(line, WIDTH, break_long_words=False, break_on_hyphens=False) for line in lines)
    return "\n".join(broken).replace("\N{NO-BREAK SPACE}%", " %")


def _candidates(table: ScoreTable, score: str, rows: Mapping[str, int | None], first: str = "") -> str:
    """A table of candidates, with their widths if these leave it narrow enough.

    Args:
        rows: of the score table, by a text for the first column; None for no candidate.
        first: head of that column; empty leaves it out.
    """
    quality, sign = table.quality(score), 1 if score == "top1" else -1
    headers = [first, "name", {"top1": "top-1"}.get(score, score.replace("_", " ")), "multiply-adds", "parameters", "architecture"]
    cells = [
        [text, "none"]
        if row is None
        else [
            text,
            textwrap.shorten(table.population[row].name, 24, placeholder="…"),
            f"{sign * quality[row]:.4f}",
            f"{table.multiply_adds[row] / 1e6:.3f} M",
            f"{table.parameters[row]:,}",
            table.population[row].text,
        ]
        for text, row in rows.items()
    ]
    start = 0 if first else 1
    wide, narrow = (tabulate([row[start:end] for row in cells], headers[start:end], disable_numparse=True) for end in (6, 5))
    return wide if max(map(len, wide.splitlines())) <= WIDTH else narrow


def _as_by_size(table: ScoreTable, score: str) -> str:
    """How far an order that nothing is known of is that of the parameters."""
    rows = list(table.population.distinct_rows)
    unknown = "No accuracy is known, so how far to trust this order is unknown."
    try:
        tau = kendall_tau(table.quality(score)[rows], table.parameters[rows].astype(float))
    except ValueError:  # a single candidate, or all equal
        return unknown
    return f"{unknown} The number of parameters alone would put {50 + 50 * tau:.0f} % of the pairs in the same order (Kendall {tau:.3f})."
