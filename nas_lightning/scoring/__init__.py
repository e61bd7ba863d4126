"""Scores candidates and keeps the table of scores."""
