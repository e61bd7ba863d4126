"""The command line: Hydra in, one line and an exit code out."""
