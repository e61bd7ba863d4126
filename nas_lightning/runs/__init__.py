"""The run folder: the contract between rooms."""
