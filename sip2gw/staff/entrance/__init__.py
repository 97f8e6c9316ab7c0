"""Who comes in, as staff see it: doors and stays, bar and pass lists, today's opening hours."""
