"""Chooses among scored candidates."""
