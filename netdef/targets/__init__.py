"""Floor 6: what a Graph is lowered to."""
