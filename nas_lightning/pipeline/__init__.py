"""Stages as data, trained in order."""
