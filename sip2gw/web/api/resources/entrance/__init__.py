"""Who comes in: doors and stays, bar and pass lists, today's opening hours."""
