"""The search under budgets: its front, its progress against random candidates, and the chosen with both scores."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure as Canvas

from nas_lightning.report.content import Part, Table
from nas_lightning.report.drawing import ACCENT, INK, MUTED, PALE, TINT, Figure, Hover, spaced
from nas_lightning.report.ranking import read_alone
from nas_lightning.report.recipe import next_to_known
from nas_lightning.report.run import RunFiles
from nas_lightning.report.winners import COLUMN, FOLDER
from nas_lightning.runs.lock import CHOSEN
from nas_lightning.runs.reading import as_written, finite, read_entries, read_json, read_rows
from nas_lightning.scoring.meanings import head_of

Numbers = npt.NDArray[np.float64]
Rows = Sequence[Mapping[str, str]]
RUNS = {"search": "search", "spread": "random, spread over all sizes", "uniform": "random, uniform in each width"}
BUDGETS = {"multiply_adds": "M multiply-adds", "parameters": "thousand parameters", "latency": "ms", "batch_latency": "ms a batch"}
UNITS = {
    "multiply_adds": (1e6, "multiply-adds, M"),
    "parameters": (1e3, "parameters, thousands"),
    "latency": (1, "predicted latency, ms"),
    "batch_latency": (1, "predicted latency of a batch, ms"),
}
"""What a cost is divided by, and the unit in words."""
ALONE = "trained alone, %"
OF_CHOSEN = "chosen, trained alone, %"
TRAINED = {ALONE: "standalone", COLUMN: FOLDER, OF_CHOSEN: f"{CHOSEN}/standalone"}
"""Columns of accuracies and the folders of their trainings, whose recipes may differ."""
HOW = {
    "list": "of a list",
    "random": "of a {start} start alone",
    "": "from a {start} start by {algorithm}",
}
"""Where the candidates are from, by algorithm."""
STRIP = "▁▂▃▄▅▆▇█"
TWO_SCORES = (
    "The search chose by its score on {:,} of the images, and the best of many noisy scores is too good; "
    "the score on all {:,} is what to compare."
)
PREDICTED = "The search chose, and ordered the chosen, by its predictions; beside them stand the scores on {} images."
ONE_SCORE = "The best of many noisy scores is a little too good, and no other images were left to score it on."


def search(run: RunFiles) -> Part | None:
    """The section of ``nas-search``."""
    folder = run.folder / "search"
    if not (folder / "chosen.json").is_file():
        return None
    protocol, chosen, scored = read_json(folder / "protocol.json"), read_entries(folder / "chosen.json"), _read(folder, "evaluated")
    with as_written(folder, "nas-search"):
        evaluated = [row for row in scored if _number(row.get("share_of_images", "1")) == 1]
        objective, cost = str(protocol["objective"]), str(protocol["costs"][0])
        label, first = head_of(objective), chosen[0] if chosen else None
        counts = [int(first[part]["images"]) for part in ("searched", "all_images")] if first else []
        is_split = len({*counts}) > 1
        images = "{:,} of {:,}".format(*counts) if is_split else f"all {counts[0]:,}" if first else "some"
        algorithm = str(protocol["algorithm"])
        words = f"{len(evaluated):,} candidates {HOW.get(algorithm, HOW['']).format(**protocol)}, "
        words += f"predicted from scores on {images} test images." if objective == "predicted" else f"on {images} test images."
        if partial := {row["architecture"] for row in scored} - {row["architecture"] for row in evaluated}:
            words += f" {len(partial):,} others were dropped after fewer images; they are not shown."
        figures = (_front(folder, evaluated, chosen, objective, cost, label, run.points, algorithm), _progress(folder, objective))
        latencies = _latencies(folder / "latency.json")
        alone = {head: _trained_alone(run.folder / place) for head, place in TRAINED.items()}
        gains = [_gain(entry) for entry in chosen if "over_smaller_budget" in entry]
        table = _table(chosen, evaluated, objective, protocol["costs"], alone)
    none = "" if chosen else "No evaluated candidate keeps to a budget."
    recipes = {"the winners": (COLUMN, run.winners_recipe), "the chosen": (OF_CHOSEN, run.chosen_recipe)}
    how_trained = [
        next_to_known(whose, recipe, run.known_recipe, bool(alone[ALONE])) for whose, (head, recipe) in recipes.items() if alone[head]
    ]
    noise = "" if first is None else TWO_SCORES.format(*counts) if is_split else ONE_SCORE
    if first is not None and objective == "predicted":
        noise = PREDICTED.format("{:,} and on all {:,}".format(*counts) if is_split else f"all {counts[0]:,}")
    return Part("The best under budgets", (words, noise, *gains, *latencies, *how_trained, none), figures=figures, tables=(table,))


def _front(
    folder: Path,
    evaluated: Rows,
    chosen: Sequence[Mapping[str, Any]],
    objective: str,
    cost: str,
    label: str,
    points: int,
    algorithm: str,
) -> Figure:
    baselines = [row for name in ("spread", "uniform") for row in _read(folder, f"baseline_{name}")]
    drawn = {"random": evaluated, "list": []}.get(algorithm, [row for row in evaluated if row["generation"] == "0"])
    random, front = [*baselines, *drawn], _read(folder, "front")
    found = [] if algorithm == "random" else [row for row in evaluated if row["generation"] != "0" or algorithm == "list"]
    by_search = "of the list" if algorithm == "list" else "proposed by the search"
    codes = {str(entry["architecture"]): entry for entry in chosen if entry["place"] == 1}
    best = [row for row in evaluated if row["architecture"] in codes]
    limits = sorted({float(entry["budget"][cost]) / UNITS[cost][0] for entry in chosen if cost in entry["budget"]})
    x, y = (lambda rows: _column(rows, cost) / UNITS[cost][0]), (lambda rows: _shown(rows, objective))

    def draw(canvas: Canvas) -> list[Hover]:
        axes = canvas.subplots()
        for rows, colour, name in ((random, PALE, "random"), (found, TINT, by_search)):
            if not rows:
                continue
            kept = spaced(np.arange(len(rows)), points)
            axes.scatter(x(rows)[kept], y(rows)[kept], s=14, color=colour, linewidths=0, label=name)
        axes.step(x(front), y(front), where="post", color=ACCENT, linewidth=1.5, label="front")
        axes.scatter(x(best), y(best), s=60, color=ACCENT, edgecolors=INK, zorder=3, label="chosen")
        for number, limit in enumerate(limits):
            axes.axvline(limit, color=MUTED, linestyle="--", linewidth=1, label=None if number else "budget")
        axes.legend(framealpha=0.85, edgecolor="none", fontsize=8.5)
        axes.set(xlabel=UNITS[cost][1], ylabel=label)
        if objective != "top1":
            axes.invert_yaxis()  # better is up, as everywhere
        places = zip(front, y(front), x(front), strict=True)
        texts = [f"{row['architecture']}\n{label} {value:.4f}\n{price:,.3f} {UNITS[cost][1]}" for row, value, price in places]
        return [Hover(axes, x(front).tolist(), y(front).tolist(), texts)]

    notes = (
        *(("Grey: candidates of the start and of the baselines, drawn at random.",) if random else ()),
        "The line: no evaluated candidate is both cheaper and better.",
    )
    says = f"Scatter of {label} against {UNITS[cost][1]} with the front of {len(front):,} candidates"
    return Figure("search_front", says, draw, notes, view="Front")


def _progress(folder: Path, objective: str) -> Figure:
    runs: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for _, row in read_rows(folder / "hypervolume.csv", ("run", "evaluated", "hypervolume")):
        runs[row["run"]].append((_number(row["evaluated"]), _number(row["hypervolume"])))

    def draw(canvas: Canvas) -> list[Hover]:
        axes = canvas.subplots()
        hover = Hover(axes, [], [], [])
        for (name, words), colour in zip(RUNS.items(), (ACCENT, INK, MUTED), strict=True):
            if points := runs.get(name):
                axes.plot(*zip(*points, strict=True), color=colour, marker="o", markersize=3, label=words)
                for count, volume in points:
                    hover.add(count, volume, f"{words}\n{count:,.0f} evaluations\nhypervolume {volume:.4f}")
        axes.legend(framealpha=0.85, edgecolor="none", fontsize=8.5)
        axes.set(xlabel="evaluations", ylabel="hypervolume, share of the box")
        return [hover]

    worst = "all images right to none" if objective == "top1" else "no loss to that of a guess"
    notes = (f"The share of the box, from nothing to the largest legal cost and from {worst}, that the front dominates.",)
    return Figure("search_progress", "Hypervolume by number of evaluations", draw, notes, view="Progress")


def _table(
    chosen: Sequence[Mapping[str, Any]], evaluated: Rows, objective: str, ordered: Sequence[str], alone: Mapping[str, Mapping[str, float]]
) -> Table:
    """What a reader compares stands first: under each budget the scores, and the costs that span the front."""
    widest = np.max([_widths(row["architecture"]) for row in evaluated], axis=0)
    key, scale, digits = ("top1", 100, 2) if objective == "top1" else ("cross_entropy", 1, 4)
    name = head_of(key)
    rows = [
        {
            "at most": _limits(entry["budget"]),
            "": str(entry["place"]),
            **{
                f"{name}, {score['images']:,} images": f"{scale * score[key]:.{digits}f}"
                for score in (entry["all_images"], entry["searched"])
            },
            head_of("predicted"): f"{entry['predicted']:.4f}" if "predicted" in entry else "",
            **{head: f"{100 * known[code]:.2f}" if (code := entry["architecture"]) in known else "" for head, known in alone.items()},
            **dict(pair for cost in ordered for pair in _cost(cost, entry)),
            "widths": "".join(STRIP[round(7 * width)] for width in _widths(str(entry["architecture"])) / widest),
            **dict(pair for cost in entry["cost"] if cost not in ordered for pair in _cost(cost, entry)),
            **{f"median {_milliseconds(cost)}": f"{figures['median_ms']:,.3f}" for cost, figures in entry.get("measured", {}).items()},
            "architecture": str(entry["architecture"]),
        }
        for entry in chosen
    ]
    order = "prediction" if objective == "predicted" else "score on all images"
    says = f"The chosen under each budget, best first by their {order}; costs also in % of the largest"
    return Table(rows, says, file="chosen.csv")


def _limits(budget: Mapping[str, float]) -> str:
    return ", ".join(f"{float(limit) / UNITS[cost][0]:,.4g} {BUDGETS[cost]}" for cost, limit in budget.items())


def _gain(entry: Mapping[str, Any]) -> str:
    """What a larger budget buys, beside what chance may give."""
    gain = entry["over_smaller_budget"]
    return (
        f"From {_limits(gain['budget'])} to {_limits(entry['budget'])} top-1 of the best changes by {100 * gain['top1']:+.1f} points "
        f"on all {entry['all_images']['images']:,} images, with a standard error of up to {100 * gain['standard_error']:.1f}."
    )


def _cost(cost: str, entry: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Heads and cells of a cost: in its unit, as measured, and as a share of the largest."""
    measured = entry.get("measured", {}).get(cost)
    return [
        (UNITS[cost][1], f"{float(entry['cost'][cost]) / UNITS[cost][0]:,.3f}"),
        *([(f"measured {_milliseconds(cost)}", f"{measured['fastest_ms']:,.3f}")] if measured else []),
        (f"{cost.replace('_', '-')}, %", f"{entry['share_of_largest'][cost]:.1%}".removesuffix("%")),
    ]


def _latencies(path: Path) -> list[str]:
    """How each latency was measured, and how far its predictions can be trusted."""
    if not path.is_file():
        return []
    content = read_json(path)
    texts = [
        f"Latency of passes of {images} image{'s' * (images > 1)}, measured on {content['device']} with "
        f"{content['threads']} thread{'s' * (content['threads'] > 1)}; predicted for candidates that were not measured. The predictions "
        f"were fitted on {model['fitted_on']} candidates. "
        + (f"Kendall's tau with {model['checked_on']} others: {model['kendall']:.2f}." if model["kendall"] is not None else "")
        for images, model in ((content["images"][name], model) for name, model in content["model"].items())
    ]
    return [*texts, "A measured latency is the fastest of several passes: what else the machine does can only add to it."]


def _milliseconds(cost: str) -> str:
    return UNITS[cost][1].removeprefix("predicted ")


def _trained_alone(folder: Path) -> dict[str, float]:
    """Mean accuracies of the candidates that were trained alone into a folder, by code."""
    path = folder / "accuracies.csv"
    means = {code: np.nanmean(values) for code, values in read_alone(path).items() if not np.isnan(values).all()} if path.is_file() else {}
    return {code: float(mean) for code, mean in means.items()}


def _read(folder: Path, name: str) -> Rows:
    path = folder / f"{name}.csv"
    return [row for _, row in read_rows(path, ("generation", "architecture"))] if path.is_file() else []


def _shown(rows: Rows, objective: str) -> Numbers:
    """The objective's values as shown."""
    return _column(rows, objective) * (100 if objective == "top1" else 1)


def _column(rows: Rows, key: str) -> Numbers:
    return np.array([_number(row[key]) for row in rows], dtype=np.float64)


def _number(text: str) -> float:
    if (value := finite(text)) is None:
        raise ValueError(f"{text[:80]!r} is not a finite number")
    return value


def _widths(code: str) -> Numbers:
    return np.array([_number(entry) for entry in code.split("-")])
