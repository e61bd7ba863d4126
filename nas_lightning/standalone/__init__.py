"""Stand-alone training of candidates: the ground truth of a ranking."""
