"""A small project to begin with."""
