"""Scores every candidate, keeps the table, and measures how far it can be trusted."""

from nas_lightning.ranking.agreement import Agreement, measure
from nas_lightning.ranking.score import Score, rank, score
from nas_lightning.ranking.table import ScoreTable, read_scores

__all__ = ["Agreement", "Score", "ScoreTable", "measure", "rank", "read_scores", "score"]
