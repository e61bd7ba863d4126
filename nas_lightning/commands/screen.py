"""What a ranking shows at its end, in 80 columns: one table, the verdict, the best three, the page, the next command."""

import shlex
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from nas_lightning.agreement import Agreement, kendall_tau
from nas_lightning.agreement.read import read_agreement
from nas_lightning.agreement.summary import CONTRADICTED, UNDECIDED, Verdict, accuracies_are_equal, against_baselines, as_by_size, judge
from nas_lightning.config.build import packages_in
from nas_lightning.console.overrides import SYNTAX, quoted
from nas_lightning.devices.launch import is_rank_zero
from nas_lightning.devices.progress import report
from nas_lightning.runs.lock import WINNERS
from nas_lightning.scoring.meanings import head_of, meaning_of
from nas_lightning.scoring.protocol import read_order
from nas_lightning.scoring.table import LABELS, ScoreTable
from nas_lightning.search.budgets import best_under_budgets

WIDTH = 80
BEST = 3
"""Candidates that are shown."""
NO_BEST = Verdict(UNDECIDED, "The known accuracies are all equal.", "")
FEWEST_SATURATED = 10
"""Candidates below which equal accuracies say nothing of the images."""
CODES = "Architectures too long for this table are in scores.csv and on the page."
ONLY_PREDICTED = "No row for top-1 and cross entropy: some candidates are only predicted."
BEST_TRAINED = 10
"""Candidates for the next command to train alone once the ranking was judged."""


def ranking_screen(
    table: ScoreTable, score: str, agreement: Agreement | None, budgets: Sequence[int] | None = None, notes: Sequence[str] = ()
) -> str:
    """The table and the sentence of a ranking; without known accuracies the table is that of the best candidates.

    Args:
        score: orders the candidates.
        budgets: multiply-adds; the best candidate under each is shown too.
        notes: on how the scores were made, that a reader should know.
    """
    how = f"\n({table.how_scored})" if table.how_scored else ""
    title = f"The best of {table.population.count}, ordered by {LABELS[score]}{how}"
    best = _candidates(table, score, {str(row): row for row in table.best_rows(score)[:BEST].tolist()})
    codes = "" if "architecture" in best.split("\n", 1)[0] else f"\n{CODES}"
    parts = [f"{title}\n{best}\n{meaning_of(score)}{codes}"]
    if budgets is not None:
        rows = {f"<= {budget.multiply_adds / 1e6:.3f} M": budget.row for budget in best_under_budgets(table, score, budgets)}
        parts.append(f"The best under a budget of multiply-adds\n{_candidates(table, score, rows, 'budget')}")
    notes = [*_saturated(table), *notes]
    if agreement is None:
        return fitted([*parts, _as_by_size(table, score), *notes])
    known = f"{agreement.n + agreement.missing:,} of {len(table.population.distinct_rows):,} candidates have a known accuracy"
    judged = judge(agreement, LABELS[score])
    verdict = "" if judged is None else f"\n{judged.headline}"
    notes = [*([] if agreement.sampling_error is None else [str(agreement.sampling_error)]), *notes]
    left_out = "" if table.is_scored.all() else f"\n{ONLY_PREDICTED}"
    return fitted([f"{known}\n{agreement.table()}{left_out}", f"{against_baselines(agreement, LABELS[score])}.{verdict}", *parts, *notes])


def closing(run_dir: Path, page: str, made_by: Sequence[str] = (), config: Mapping[str, Any] | None = None) -> str:
    """The page of a run, and the command that comes next.

    Args:
        page: the line that names it; empty without one.
        made_by: the command line of a run of nas-train or nas-rank, its program first.
        config: of that run.
    """
    scores, config = run_dir / "ranking/scores.csv", config or {}
    if not scores.is_file():
        root = (config.get("data") or {}).get("root")
        aim, where = "rank candidates", [] if root is None else [assigned("data.root", root)]
        words = ["nas-rank", assigned("checkpoint", f"{run_dir}/supernet.safetensors"), *where, *packages_in(made_by)]
        return f"{page}next, {aim}:\n{to_paste(words)}"
    candidates, known, judged, noisy = _candidates_in(scores), *_judged(run_dir)
    if known and judged == NO_BEST:
        return f"{page}next, take images or candidates that differ more: this truth knows no best one"
    if made_by and (not known or (judged is not None and judged.outcome == UNDECIDED)):
        from nas_lightning.report.truth_command import reason, truth_commands  # the room's pictures take half a second to import

        if commands := truth_commands(made_by, config, run_dir, candidates, known, assigned, noisy):
            aim = f"train {'more' if known else 'some'} candidates alone, to see how far to trust this order"
            why = fitted([f"next, {aim} {reason(commands[0], known, noisy)}".rstrip()]).lstrip("\n")
            return "\n".join([f"{page}{why}:", *map(to_paste, commands)])
    if judged is not None and judged.outcome == CONTRADICTED:
        return f"{page}next, train the supernet for longer: this order is not one to choose by"
    place = assigned("run_dir", f"{run_dir}/{WINNERS}")
    words = [
        "nas-standalone",
        "choose=best",
        assigned("scores", str(scores)),
        f"count={min(BEST_TRAINED, candidates)}",
        place,
        *packages_in(made_by),
    ]
    return f"{page}next, train the winners alone:\n{to_paste(words)}"


def _judged(run_dir: Path) -> tuple[int, Verdict | None, bool]:
    """The known accuracies that a run's ranking was compared with, the verdict on the score that orders it, and whether the
    sampling error of the accuracies is large."""
    path = run_dir / "ranking/agreement.json"
    if not path.is_file():
        return 0, None, False
    agreement, score = read_agreement(path), read_order(run_dir / "ranking/scores.csv")
    if accuracies_are_equal(agreement):
        return agreement.n, NO_BEST, False
    return max(1, agreement.n), None if score is None else judge(agreement, LABELS[score]), agreement.is_noisy


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


def show_split(how: str) -> None:
    """Reports how the test split was taken from images that have none; nothing of an empty text."""
    if how and is_rank_zero():
        report(fitted([f"images: {how}"]).lstrip("\n"), to_stdout=True)


def _candidates(table: ScoreTable, score: str, rows: Mapping[str, int | None], first: str = "") -> str:
    """A table of candidates, with their widths if these leave it narrow enough.

    Args:
        rows: of the score table, by a text for the first column; None for no candidate.
        first: head of that column; empty leaves it out.
    """
    values, head = table.shown(score), head_of(score)
    headers = [first, "name", head, "multiply-adds", "parameters", "architecture"]
    cells = [
        [text, "none"]
        if row is None
        else [
            text,
            textwrap.shorten(table.population[row].name, 24, placeholder="…"),
            f"{values[row]:.{2 if score == 'top1' else 4}f}",
            f"{table.multiply_adds[row] / 1e6:.3f} M",
            f"{table.parameters[row]:,}",
            table.population[row].text,
        ]
        for text, row in rows.items()
    ]
    start = 0 if first else 1
    wide, narrow = (tabulate([row[start:end] for row in cells], headers[start:end], disable_numparse=True) for end in (6, 5))
    return wide if max(map(len, wide.splitlines())) <= WIDTH else narrow


def _saturated(table: ScoreTable) -> list[str]:
    """A line if no scored candidate classifies more images right than another."""
    found = {score.top1 for score, is_scored in zip(table.scores, table.is_scored, strict=True) if is_scored}
    count = int(table.is_scored.sum())
    if count < FEWEST_SATURATED or len(found) > 1:
        return []
    return [f"All {count:,} scored candidates have the top-1 {100 * found.pop():.2f} %: these images can hardly tell them apart."]


def _as_by_size(table: ScoreTable, score: str) -> str:
    """How far an order that nothing is known of is that of the parameters."""
    rows = list(table.population.distinct_rows)
    unknown = "No accuracy is known, so how far to trust this order is unknown."
    try:
        tau = kendall_tau(table.quality(score)[rows], table.parameters[rows].astype(float))
    except ValueError:  # a single candidate, or all equal
        return unknown
    return f"{unknown} {as_by_size(tau)}"
