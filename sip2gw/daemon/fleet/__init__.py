"""A gateway of several processes: a parent that accepts, and workers that serve (B87, C131)."""
