"""The effect of each swept key on the statistic, and a map of two numeric keys."""

import numpy as np
from matplotlib.figure import Figure as Canvas

from nas_lightning.report.content import Part
from nas_lightning.report.drawing import ACCENT, INK, Figure, Hover, heat_map, is_narrow, spaced
from nas_lightning.report.parts.sweep_verdict import pooled
from nas_lightning.report.sweep import Setting, Sweep
from nas_lightning.report.text import short

TOGETHER = "These keys always change together: their effects cannot be told apart. "
ALIKE = "Other swept keys were tried for all values alike, so that the means compare like with like."
UNLIKE = "Other swept keys were not tried for all values alike, so that a difference of means may come from them."
NOTES = (
    "Points: jobs. Diamonds: the mean over settings, each by the mean of its seeds. Bars: the standard deviation over seeds, if a "
    "setting has two. Below each value: its mean.",
)


def sweep_effects(sweep: Sweep) -> list[Part]:
    """A map of the first two numeric keys, then one part per swept key."""
    if not sweep.ranked:
        return []
    if not sweep.factors:
        return [Part("Effects", ("Nothing but the seed differs between the configs of the jobs.",))]
    numeric = [number for number, factor in enumerate(sweep.factors) if factor.numeric]
    maps = [_map(sweep, *numeric[:2])] if len(numeric) > 1 else []
    return [*maps, *(_effect(sweep, number) for number in range(len(sweep.factors)))]


def _effect(sweep: Sweep, number: int) -> Part:
    factor, name = sweep.factors[number], sweep.statistic
    groups = [[setting for setting in sweep.ranked if setting.places[number] == place] for place in range(len(factor.values))]
    scale, positions = factor.axis
    levels = [level for level in zip(positions, map(short, factor.texts), groups, strict=True) if level[2]]
    across = [position for position, _, _ in levels]
    means = [float(np.mean([setting.mean for setting in settings])) for *_, settings in levels]  # more seeds do not weigh more
    stds = [pooled(settings)[0] for *_, settings in levels]
    texts = [
        f"{value}\nmean {mean:.3f}, standard deviation over seeds {std:.3f}\nsettings: {len(settings)}"
        for (_, value, settings), mean, std in zip(levels, means, stds, strict=True)
    ]
    jobs = [
        (position, value, f"job {short(job.name)}\n{setting.label.replace(', ', chr(10))}\nseed {short(job.seed)}\n{value:.3f}")
        for position, _, settings in levels
        for setting in settings
        for job in setting.jobs
        if (value := sweep.results.get(job.name)) is not None
    ]

    def draw(canvas: Canvas) -> list[Hover]:
        axes = canvas.subplots()
        points = Hover(axes, [position for position, _, _ in jobs], [value for _, value, _ in jobs], [text for _, _, text in jobs])
        axes.scatter(points.x, points.y, s=40, color=ACCENT, alpha=0.65, linewidths=0)
        style = "-" if factor.numeric else "none"
        axes.errorbar(across, means, yerr=stds, color=INK, linestyle=style, marker="D", markersize=5, capsize=3)
        named = spaced(np.arange(len(levels)), 5 if is_narrow(canvas) else 12)
        axes.set_xticks([across[place] for place in named], [f"{levels[place][1]}\n{means[place]:.3f}" for place in named])
        axes.set(xlabel=f"{short(factor.title)}{scale}", ylabel=short(name))
        axes.margins(x=0.5 / max(len(levels) - 1, 1))
        axes.grid(visible=False, axis="x")
        return [points, Hover(axes, across, means, texts)]

    others = {frozenset(setting.places[:number] + setting.places[number + 1 :] for setting in settings) for *_, settings in levels}
    comparable = f"{TOGETHER if len(factor.keys) > 1 else ''}{UNLIKE if len(others) > 1 else ALIKE if len(sweep.factors) > 1 else ''}"
    says = f"{name} of {len(jobs)} jobs for {len(levels)} values of {factor.title}"
    return Part(f"Effect of {factor.title}", (comparable,), figures=(Figure(f"effect_{number + 1}", says, draw, NOTES, 380, 340),))


def _map(sweep: Sweep, down: int, across: int) -> Part:
    """The mean for each pair of values of two keys."""
    rows, columns, name = sweep.factors[down], sweep.factors[across], sweep.statistic
    cells: dict[tuple[int, int], list[Setting]] = {}
    for setting in sweep.ranked:
        cells.setdefault((setting.places[down], setting.places[across]), []).append(setting)
    values = np.full((len(rows.values), len(columns.values)), np.nan)
    for cell, settings in cells.items():
        values[cell] = np.mean([setting.mean for setting in settings])
    texts = {
        (row, column): f"{short(rows.title)} {short(rows.texts[row])}, {short(columns.title)} {short(columns.texts[column])}\n"
        f"mean {values[row, column]:.3f}\njobs: {sum(len(setting.jobs) for setting in settings)}"
        for (row, column), settings in cells.items()
    }
    limits = float(np.nanmin(values)), float(np.nanmax(values)) + 1e-9  # the same for all is no error
    draw = heat_map(values, (columns.title, columns.texts), (rows.title, rows.texts), name, limits, texts)
    text = f"Each cell is the mean {name} of the settings with these two values, each by the mean of its seeds."
    says = f"Heat map of the mean {name} by {rows.title} and {columns.title}"
    return Part(f"{rows.title} and {columns.title}", (text,), figures=(Figure("map", says, draw, (), 400, 380),))
