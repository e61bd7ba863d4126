"""Wiring: a config becomes a run."""
