"""The parts of a report, each made from a run."""
