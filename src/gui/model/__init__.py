"""What the window knows of pipelines; nothing in here needs Qt."""
