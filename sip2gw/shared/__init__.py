"""What one process remembers between requests; workers will have to share it."""
