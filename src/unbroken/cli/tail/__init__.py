"""`unbroken tail`: any event stream, from a shell."""
