"""Commands about who comes in: doors and stays, bar and pass lists, today's opening hours."""
