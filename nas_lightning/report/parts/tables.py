"""Tables: the best candidates, the config, the protocol and the environment."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.stats import rankdata

from nas_lightning.errors import cut
from nas_lightning.report.content import Part, Table
from nas_lightning.report.run import Ranking, RunFiles

LONGEST_VALUE = 400
"""Maximum characters of a cell."""
MOST_ALONE = 50
"""Maximum stand-alone candidates to list."""
SECTIONS = ("space", "supernet", "data", "augmentation", "loader", "population", "monitor", "ranking", "standalone")
"""Sections of the config in a table next to the stages."""
STAGE_KEYS = ("epochs", "max_steps", "sampler", "objective", "optimizer", "schedule", "gradients", "path_execution")


def best(ranking: Ranking) -> Part:
    """The ten best by score."""
    scores, rows = ranking.table, ranking.order[:10].tolist()
    population = scores.population
    columns = [
        ("", [str(place) for place in range(1, len(rows) + 1)]),
        ("name", [population[row].name for row in rows]),
        ("top-1", [f"{100 * scores.scores[row].top1:.2f} %" if scores.is_scored[row] else "" for row in rows]),
        ("cross entropy", [f"{scores.scores[row].cross_entropy:.4f}" if scores.is_scored[row] else "" for row in rows]),
    ]
    if scores.predicted is not None:
        columns.append(("predicted", [f"{scores.predicted[row]:.4f}" for row in rows]))
    if ranking.truth is not None and len(ranking.known):
        places = dict(zip(ranking.known.tolist(), rankdata(-ranking.truth[ranking.known], method="min"), strict=True))
        columns.append(("known accuracy", [f"{100 * ranking.truth[row]:.2f} %" if row in places else "" for row in rows]))
        columns.append(("true place", [f"{places[row]:.0f} of {len(places):,}" if row in places else "" for row in rows]))
    columns.append(("multiply-adds", [f"{scores.multiply_adds[row] / 1e6:.3f} M" for row in rows]))
    columns.append(("parameters", [f"{scores.parameters[row]:,}" for row in rows]))
    columns.append(("architecture", [population[row].text for row in rows]))
    empty = " An empty known accuracy is not known." if 0 < len(ranking.known) < len(ranking.distinct) else ""
    text = f"Of {population.count}, ordered by {ranking.label}.{empty}"
    return Part("The ten best by score", (text,), tables=(Table.of(columns),))


def alone(run: RunFiles) -> Part:
    """The candidates trained alone, best first: mean and standard deviation of their test accuracies over seeds."""
    title = "Trained alone"
    if run.alone is None or not run.alone.accuracies:
        return Part(title, ("Missing: standalone/accuracies.csv.",))
    ordered = sorted(run.alone.accuracies.items(), key=lambda entry: (-np.mean(entry[1]), entry[0]))
    rows = [
        [
            str(place),
            code,
            f"{100 * np.mean(values):.2f} %",
            f"{100 * np.std(values, ddof=1):.2f} points" if len(values) > 1 else "",
            str(len(values)),
        ]
        for place, (code, values) in enumerate(ordered[:MOST_ALONE], start=1)
    ]
    head = ["", "architecture", "accuracy", "standard deviation over seeds", "seeds"]
    return Part(title, (f"Candidates by test accuracy: the first {len(rows)} of {len(ordered):,}.",), tables=(Table(head, rows),))


def recipe(run: RunFiles) -> Part:
    """The config: a table of the stages, one of the rest, and the whole file."""
    title = "Recipe"
    if run.config is None:
        return Part(title, ("Missing: config.yaml.",))
    stages = {str(name): stage for name, stage in _mapping(run.config.get("stages")).items() if isinstance(stage, dict)}
    keys = [key for key in STAGE_KEYS if any(stage.get(key) is not None for stage in stages.values())]
    tables = (
        [Table(["stage", *keys], [[name, *(_short(stage.get(key)) for key in keys)] for name, stage in stages.items()])] if stages else []
    )
    plain = {str(key): value for key, value in run.config.items() if not isinstance(value, dict | list | None) and key != "dry_run"}
    sections = {key: run.config[key] for key in SECTIONS if run.config.get(key)}
    trainer = {key: value for key, value in _mapping(run.config.get("trainer")).items() if value is not None}
    rest = {**plain, **sections, **({"trainer": trainer} if trainer else {})}
    tables.append(Table(["key", "value"], [[key, _short(value)] for key, value in rest.items()]))
    listing = None if run.config_text is None else ("The whole config", run.config_text)
    return Part(title, tables=tables, listing=listing, is_folded=True)


def protocol(run: RunFiles) -> Part:
    """What a score and a known accuracy mean here."""
    tables = []
    if run.protocol is not None:
        tables.append(Table(["a score's", "value"], [[key.replace("_", " "), _short(value)] for key, value in run.protocol.items()]))
    if run.alone is not None and run.alone.accuracies:
        tables.append(Table(["trained alone", "value"], _alone(list(run.alone.accuracies.values()), run.alone.diverged)))
    missing = ("Missing: ranking/protocol.json.",) if run.protocol is None and not run.is_only_alone else ()
    return Part("Protocol", missing, tables=tables, is_folded=bool(tables))


def environment(run: RunFiles) -> Part:
    """Commit, versions, machine, command line."""
    if not run.environment:
        return Part("Environment", ("Missing: environment.json.",))
    content = dict(run.environment)
    if isinstance(content.get("command"), list):
        content["command"] = " ".join(map(str, content["command"]))
    if isinstance(content.get("continued"), list):
        content["continued"] = f"{len(content['continued'])} times"
    return Part("Environment", tables=(Table(["key", "value"], [[key, _short(value)] for key, value in content.items()]),), is_folded=True)


def _alone(values: list[tuple[float, ...]], diverged: int) -> list[list[str]]:
    means = np.array([np.mean(seeds) for seeds in values])
    fewest, most = min(map(len, values)), max(map(len, values))
    rows = [
        ["candidates", f"{len(values):,}"],
        ["seeds each", str(most) if fewest == most else f"{fewest} to {most}"],
        ["accuracy", f"{100 * means.min():.2f} to {100 * means.max():.2f} %, mean {100 * means.mean():.2f} %"],
    ]
    if len(means) > 1:
        rows.append(["spread of candidates (standard deviation)", f"{100 * means.std(ddof=1):.2f} points"])
    if diverged:
        rows.append(["trainings that diverged, without an accuracy", f"{diverged:,}"])
    if repeated := [np.var(seeds, ddof=1) for seeds in values if len(seeds) > 1]:
        rows.append(["from seed to seed (standard deviation)", f"{100 * float(np.sqrt(np.mean(repeated))):.2f} points"])
    return rows


def _mapping(node: Any) -> Mapping[str, Any]:
    return node if isinstance(node, dict) else {}


def _short(value: Any) -> str:
    """A value in one line; of a node the last name of its class and its arguments."""
    return cut(_written(value, 0), LONGEST_VALUE)


def _written(value: Any, depth: int) -> str:
    if depth > 4:
        return "…"
    if isinstance(value, dict):
        if value.get("enabled") is False:
            return "switched off"
        hidden = {"_target_", "_convert_", "_partial_"}
        given = ", ".join(f"{key} {_written(entry, depth + 1)}" for key, entry in value.items() if key not in hidden and entry is not None)
        name = str(value.get("_target_") or "").rsplit(".", 1)[-1]
        return f"{name} ({given})" if name and given else name or given
    if isinstance(value, list):
        return f"[{', '.join(_written(entry, depth + 1) for entry in value[:50])}]" if value else "none"
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)
