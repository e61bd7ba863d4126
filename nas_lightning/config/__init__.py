"""What a config may hold, and how it is made into objects."""
