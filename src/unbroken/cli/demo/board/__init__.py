"""A board on SQLite in as many tabs as one likes, and a server beneath it that can be killed."""
