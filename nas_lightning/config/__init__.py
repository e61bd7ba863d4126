"""What a config may hold, and how it becomes objects."""
