"""The parts of a report, each from a run to what it says and shows."""
