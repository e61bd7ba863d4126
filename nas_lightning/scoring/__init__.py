"""Scores every candidate and keeps the table."""
