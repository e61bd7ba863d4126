"""A stage as data, and how it is trained."""
