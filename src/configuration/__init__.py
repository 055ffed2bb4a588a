"""From the text of a configuration to a `Graph`."""
