"""Opening hours: the calendar, what staff change of today's, and when a stay ends."""
