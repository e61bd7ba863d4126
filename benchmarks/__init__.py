"""Speed as ratios against the way it is done elsewhere: ``python -m benchmarks``."""
