"""One event to many subscribers: `python -m benchmarks --only fanout`."""
