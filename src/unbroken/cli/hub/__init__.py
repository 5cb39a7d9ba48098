"""`unbroken hub`: topics, from a shell."""
