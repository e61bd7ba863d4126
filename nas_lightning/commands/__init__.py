"""The console entries."""
