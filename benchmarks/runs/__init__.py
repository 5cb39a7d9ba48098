"""What a token costs on its way through a run: `python -m benchmarks --only runs`."""
