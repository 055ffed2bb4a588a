"""What a running pipeline says of itself: the format, and who sends it."""
