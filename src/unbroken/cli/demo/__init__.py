"""A page that streams events and hurts its own stream, and beside it what the server knows of it."""
