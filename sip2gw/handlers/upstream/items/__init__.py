"""Messages about items in front of a library system, also while it is away."""
