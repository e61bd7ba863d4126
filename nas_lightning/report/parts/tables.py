"""Tables: the best candidates, those trained alone, the config, the protocol and the environment."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata

from nas_lightning.errors import cut
from nas_lightning.report.content import Part, Table
from nas_lightning.report.ranking import read_alone
from nas_lightning.report.recipe import next_to_known, recipe_of
from nas_lightning.report.run import RunFiles, section
from nas_lightning.report.text import plain
from nas_lightning.report.winners import COLUMN, FOLDER, gain_in_words, read_winners
from nas_lightning.scoring.meanings import head_of

SHOWN = 30
"""Maximum rows of the best by score."""
STAGE_KEYS = ("epochs", "max_steps", "sampler", "objective", "optimizer", "schedule", "gradients", "path_execution")


def best(run: RunFiles) -> Part | None:
    """The best by score, with what is known of each."""
    if (ranking := run.ranking) is None:
        return None
    table, population, is_scored = ranking.table, ranking.table.population, ranking.table.is_scored
    shown = ranking.order[:SHOWN]
    unlike = {row: values for row, values in ranking.alone.items() if not np.isclose(values.mean(), ranking.truth[row], atol=1e-5)}
    places = dict(zip(ranking.known.tolist(), rankdata(-ranking.truth[ranking.known], method="min"), strict=True))
    rows = [
        {
            "": str(place),
            "name": population[row].name,
            "architecture": population[row].text,
            head_of("predicted"): "" if table.predicted is None else f"{table.predicted[row]:.4f}",
            head_of("cross_entropy"): f"{table.scores[row].cross_entropy:.4f}" if is_scored[row] else "",
            head_of("top1"): f"{100 * table.scores[row].top1:.2f}" if is_scored[row] else "",
            "known accuracy, %": f"{100 * ranking.truth[row]:.2f}" if row in places else "",
            f"true place of {len(places):,}": f"{places[row]:.0f}" if row in places else "",
            "trained alone, %": f"{100 * unlike[row].mean():.2f}" if row in unlike else "",
            COLUMN: f"{100 * ranking.winners[row].mean():.2f}" if row in ranking.winners else "",
            "multiply-adds, M": f"{table.multiply_adds[row] / 1e6:.3f}",
            "parameters": f"{table.parameters[row]:,}",
        }
        for place, row in enumerate(shown.tolist(), start=1)
    ]
    how = f" ({table.how_scored})" if table.how_scored else ""
    text = f"The first {len(rows)} of {population.count}{how}, ordered by {run.label}."
    trained = {
        "the winners": run.winners_recipe if ranking.winners else None,
        "what this run trained alone": recipe_of(run.config) if any(row in unlike for row in shown) else None,
    }
    recipes = [next_to_known(whose, recipe, run.known_recipe, bool(places)) for whose, recipe in trained.items()]
    won = read_winners(run.folder)
    tables = (Table(rows, file="best.csv"), _winners(run.folder / FOLDER, won))
    return Part("The best by score", (gain_in_words(won) if won else "", *recipes, text), tables=tables)


def _winners(folder: Path, content: Mapping[str, Any] | None) -> Table:
    """The accuracies of both kinds, the best first; random ones may stand anywhere in the ranking."""
    codes = {kind: content[kind].get("architectures", []) for kind in ("best", "random")} if content else {}
    accuracies = {code: 100 * np.mean(values) for code, values in read_alone(folder / "accuracies.csv").items()} if codes else {}
    rows = [(kind, str(code), accuracies[code]) for kind, several in codes.items() for code in several if code in accuracies]
    cells = [
        {"chosen": kind, "architecture": code, COLUMN: f"{accuracy:.2f}"}
        for kind, code, accuracy in sorted(rows, key=lambda row: (row[0], -row[2]))
    ]
    return Table(cells, "The winners and the random ones", is_folded=True)


def alone(run: RunFiles) -> Part | None:
    """The candidates trained alone, best first: mean and standard deviation of their test accuracies over seeds."""
    results = {code: 100 * np.array(values) for code, values in (run.alone or {}).items()}
    trained = {code: kept for code, values in results.items() if len(kept := values[~np.isnan(values)])}
    if not trained:
        return Part("Trained alone", ("No training gave an accuracy.",)) if run.is_only_alone else None
    means = np.array([values.mean() for values in trained.values()])
    deviations = {code: values.std(ddof=1) for code, values in trained.items() if len(values) > 1}
    noise = f"{np.sqrt(np.mean(np.square(list(deviations.values())))):.2f} points" if deviations else "unknown with one seed"
    diverged = sum(int(np.isnan(values).sum()) for values in results.values())
    text = (
        f"{len(trained):,} candidates, {means.min():.2f} to {means.max():.2f} %. Trainings that diverged, without an accuracy: {diverged}. "
        f"Standard deviation between candidates: {means.std(ddof=min(1, len(means) - 1)):.2f} points; from seed to seed: {noise}."
    )
    rows = [
        {
            "": str(place),
            "architecture": code,
            "accuracy": f"{trained[code].mean():.2f} %",
            "standard deviation over seeds": f"{deviations[code]:.2f} points" if code in deviations else "",
            "seeds": str(len(trained[code])),
        }
        for place, code in enumerate(sorted(trained, key=lambda code: (-trained[code].mean(), code))[:50], start=1)
    ]
    table = Table(rows, f"By test accuracy, the first {len(rows)} of {len(trained):,}")
    return Part("Trained alone", (text,), tables=(table,), is_folded=not run.is_only_alone)


def recipe(run: RunFiles) -> Part | None:
    """The config: a table of the stages, one of the rest, and the whole file."""
    if not run.config:
        return None
    stages = [
        {"stage": str(name), **{key: _written(stage[key]) for key in STAGE_KEYS if stage.get(key) is not None}}
        for name, stage in section(run.config, "stages").items()
        if isinstance(stage, dict)
    ]
    rest = {key: value for key, value in run.config.items() if key != "stages"}
    tables = (Table(stages), _pairs(rest))
    return Part("Recipe", tables=tables, listings={"The whole config": run.config_text}, is_folded=True)


def protocol(run: RunFiles) -> Part | None:
    """What a score means here."""
    if not run.protocol:
        return None
    return Part("Protocol", tables=(_pairs({key.replace("_", " "): value for key, value in run.protocol.items()}),), is_folded=True)


def environment(run: RunFiles) -> Part | None:
    """Commit, versions, machine, command line."""
    if not run.environment:
        return None
    return Part("Environment", tables=(_pairs({**run.environment, "command": " ".join(run.command)}),), is_folded=True)


def _pairs(values: Mapping[str, Any]) -> Table:
    """A row a key that has a value, long values cut."""
    rows = [{"key": str(key), "value": cut(_written(value), 400)} for key, value in values.items() if value not in ("", None, [], {})]
    return Table(rows)


def _written(value: Any) -> str:
    """A value in one line; of a node the last name of its class and its arguments."""
    if isinstance(value, dict):
        hidden = {"_target_", "_convert_", "_partial_"}
        given = ", ".join(f"{key} {_written(entry)}" for key, entry in value.items() if key not in hidden and entry is not None)
        name = str(value.get("_target_") or "").rsplit(".", 1)[-1]
        return f"{name} ({given})" if name and given else name or given
    return f"[{', '.join(_written(entry) for entry in value)}]" if isinstance(value, list) else plain(value)
