"""State that one process keeps between requests; workers will have to share it."""
