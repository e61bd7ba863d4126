"""Scores every candidate and keeps the table. The table needs no torch: what scores is imported when it is asked for."""

from importlib import import_module
from typing import Any

HOMES = {"Score": "table", "ScoreTable": "table", "rank": "score", "read_scores": "table"}
"""The file of each public name."""


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module(f"{__name__}.{HOMES[name]}"), name)
