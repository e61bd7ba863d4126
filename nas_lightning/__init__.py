"""Rank neural architectures with one weight-sharing network."""

__version__ = "0.1.0"
