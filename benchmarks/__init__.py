"""What the gateway costs, measured against a bare responder; `python -m benchmarks --help`."""
