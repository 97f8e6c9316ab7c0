"""One connection: who is behind it, its frames, both sides of the dialogue."""
