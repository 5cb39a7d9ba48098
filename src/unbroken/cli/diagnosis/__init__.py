"""The commands of the diagnosis: they parse, call, and render what they get."""
