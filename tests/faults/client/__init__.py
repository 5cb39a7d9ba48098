"""The client against real servers that fail, and hops that break: what a program sees, and what is left of it."""
