"""What a message is on its way, and where it lies."""
