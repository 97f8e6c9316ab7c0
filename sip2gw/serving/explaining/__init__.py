"""`explain`: what a terminal would be told, by which checks, and how people ask for it."""
