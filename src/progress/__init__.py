"""How far a run is, on the terminal: what is drawn, and how it stays below all other output."""
