"""What ran, on what, and what a score means: tables of the config, the protocol and the environment."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from nas_lightning.report.content import Part, Table
from nas_lightning.report.run import Run

LONGEST_VALUE = 400
"""Characters of a cell."""
SECTIONS = ("space", "supernet", "data", "augmentation", "loader", "population", "monitor", "ranking", "standalone")
"""Of the config, that a table shows beside the stages."""
STAGE_KEYS = ("epochs", "max_steps", "sampler", "objective", "optimizer", "schedule", "gradients", "path_execution")


def recipe(run: Run) -> Part:
    """The config: a table of the stages, one of the rest, and the whole file."""
    title = "Recipe"
    if run.config is None:
        return Part.missing(title, "Missing: config.yaml.")
    stages = {str(name): stage for name, stage in _mapping(run.config.get("stages")).items() if isinstance(stage, dict)}
    keys = [key for key in STAGE_KEYS if any(stage.get(key) is not None for stage in stages.values())]
    tables = []
    if stages:
        rows = [[name, *(_short(stage.get(key)) for key in keys)] for name, stage in stages.items()]
        tables.append(Table(["stage", *keys], rows))
    plain = {str(key): value for key, value in run.config.items() if not isinstance(value, dict | list | None) and key != "dry_run"}
    singles = [[key, _short(value)] for key, value in plain.items()]
    sections = [[key, _short(run.config[key])] for key in SECTIONS if run.config.get(key)]
    trainer = {key: value for key, value in _mapping(run.config.get("trainer")).items() if value is not None}
    given = [["trainer", _short(trainer)]] if trainer else []
    tables.append(Table(["key", "value"], [*singles, *sections, *given]))
    folded = None if run.config_text is None else ("The whole config", run.config_text)
    return Part(title, tables=tables, folded=folded)


def protocol(run: Run) -> Part:
    """What a score and a known accuracy mean here."""
    title = "Protocol"
    tables = []
    missing = []
    if run.protocol is None and not run.is_only_alone:
        missing.append("Missing: ranking/protocol.json.")
    if run.protocol is not None:
        tables.append(Table(["a score's", "value"], [[key.replace("_", " "), _short(value)] for key, value in run.protocol.items()]))
    if run.alone is not None and run.alone.accuracies:
        tables.append(Table(["trained alone", "value"], _alone(run)))
    return Part(title, missing, tables=tables)


def environment(run: Run) -> Part:
    """Commit, versions, machine, command line."""
    title = "Environment"
    if run.environment is None:
        return Part.missing(title, "Missing: environment.json.")
    rows = []
    for key, value in run.environment.items():
        if key == "command" and isinstance(value, list):
            rows.append([key, _cut(" ".join(map(str, value)))])
        elif key == "continued" and isinstance(value, list):
            rows.append([key, f"{len(value)} times"])
        else:
            rows.append([key, _short(value)])
    return Part(title, tables=(Table(["key", "value"], rows),))


def _alone(run: Run) -> list[list[str]]:
    values = [] if run.alone is None else list(run.alone.accuracies.values())
    means = np.array([np.mean(seeds) for seeds in values])
    rows = [
        ["candidates", f"{len(values):,}"],
        ["seeds each", f"{min(map(len, values))} to {max(map(len, values))}" if len({*map(len, values)}) > 1 else str(len(values[0]))],
        ["accuracy", f"{100 * means.min():.2f} to {100 * means.max():.2f} %, mean {100 * means.mean():.2f} %"],
    ]
    if len(means) > 1:
        rows.append(["spread of candidates (standard deviation)", f"{100 * means.std(ddof=1):.2f} points"])
    if run.alone is not None and run.alone.diverged:
        rows.append(["trainings that diverged, without an accuracy", f"{run.alone.diverged:,}"])
    repeated = [np.var(seeds, ddof=1) for seeds in values if len(seeds) > 1]
    if repeated:
        rows.append(["from seed to seed (standard deviation)", f"{100 * float(np.sqrt(np.mean(repeated))):.2f} points"])
    return rows


def _mapping(node: Any) -> Mapping[str, Any]:
    return node if isinstance(node, dict) else {}


def _short(value: Any) -> str:
    """A value in one line: the class of a node by its last name, and its arguments."""
    return _cut(_written(value, 0))


def _written(value: Any, depth: int) -> str:
    if depth > 4:
        return "…"
    if isinstance(value, dict):
        if value.get("enabled") is False:
            return "switched off"
        target = value.get("_target_")
        hidden = {"_target_", "_convert_", "_partial_"}
        given = [f"{key} {_written(one, depth + 1)}" for key, one in value.items() if key not in hidden and one is not None]
        if target is None:
            return ", ".join(given)
        name = str(target).rsplit(".", 1)[-1]
        return f"{name} ({', '.join(given)})" if given else name
    if isinstance(value, list):
        return f"[{', '.join(_written(one, depth + 1) for one in value[:50])}]" if value else "none"
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"
