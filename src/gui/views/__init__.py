"""What the window draws, with Qt."""
