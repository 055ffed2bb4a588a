"""Workers outside the main process: how they start, what they are told, how they end."""
