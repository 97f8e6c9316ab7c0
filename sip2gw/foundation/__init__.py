"""What every part stands on, and what knows none of them: time, threads, coroutines, hashes."""
