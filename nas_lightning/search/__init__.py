"""Choosing from what was scored."""
