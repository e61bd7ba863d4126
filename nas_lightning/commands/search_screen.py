"""What a search shows at its end, in 80 columns."""

from collections.abc import Mapping, Sequence
from typing import Any

from tabulate import tabulate

from nas_lightning.commands.screen import fitted
from nas_lightning.search.latency import LATENCIES, LATENCY
from nas_lightning.search.limits import UNITS, amount, describe
from nas_lightning.search.problem import Problem

MUST_USE = 0.8
"""Share of a budget below which the best found is said to use little of it."""
SURE = 1.96
"""Standard errors from which on a gain is not chance, as in 95 % intervals."""
HEADS = {"cross_entropy": "cross entropy, nats", "predicted": "cross entropy, nats", "top1": "top-1"}


def search_screen(problem: Problem, chosen: Sequence[Mapping[str, Any]], evaluated: int) -> str:
    """The best under each budget: its widths, its costs, and its score on the images of the search and on all, if these are more."""
    rows, codes, empty, notes, timed = [], [], [], [], [name for name in problem.cost_of if name in LATENCIES]
    counted = [name for name in problem.front if name not in timed]
    for budget in problem.budgets:
        best = next((entry for entry in chosen if entry["budget"] == dict(budget) and entry["place"] == 1), None)
        if best is None:
            empty.append(f"No evaluated candidate keeps to {describe(budget)}: raise search.evaluations or the budget.")
            continue
        key = "top1" if best["objective"] == "top1" else "cross_entropy"
        costs = [f"{amount(best['cost'][name])} ({best['share_of_largest'][name]:.1%})" for name in counted]
        costs += [f"{best['measured'][name][LATENCY]:.4g} ({best['cost'][name]:.4g})" for name in timed]
        rows.append([describe(budget).replace(", ", ",\n"), *costs, *(f"{best[part][key]:.4f}" for part in _parts(best))])
        codes.append(f"{describe(budget)}:\n  {best['architecture']}")
        if (gain := best.get("over_smaller_budget")) and gain["top1"] < (sure := SURE * gain["standard_error"]):
            judged = "is worse than that" if gain["top1"] < -sure else "may differ by chance alone from that"
            notes.append(
                f"The best under {describe(budget)} {judged} under {describe(gain['budget'])}: top-1 {100 * gain['top1']:+.1f} points, "
                f"with a standard error of up to {100 * gain['standard_error']:.1f}."
            )
        used = max((best["cost"][name] / limit for name, limit in budget.items()), default=1.0)
        if used < MUST_USE:
            notes.append(f"Of {describe(budget)} the best found uses {used:.0%}: raise search.evaluations to look for larger ones.")
    if not rows:
        return fitted([*empty])
    first, between = chosen[0], "\n" if timed else " "  # else a line may not fit
    label, images = HEADS[first["objective"]], [f"{first[part]['images']:,}{between}images" for part in _parts(first)]
    heads = ["at most", *(name.replace("_", "-") for name in counted), *(f"{UNITS[name]}\n(predicted)" for name in timed), *images]
    title = f"The best of {evaluated:,} candidates under each budget: {label}"
    title += " on the images of the search and on all" if len(images) > 1 else ""
    title += ", chosen and ordered by its prediction" if first["objective"] == "predicted" else ""
    return fitted([f"{title}\n{tabulate(rows, heads, disable_numparse=True)}", "\n".join(codes), *filter(None, ["\n".join(notes)]), *empty])


def _parts(entry: Mapping[str, Any]) -> list[str]:
    """The scores of a chosen candidate that differ in their images."""
    return ["searched", *(["all_images"] if entry["all_images"]["images"] != entry["searched"]["images"] else [])]
