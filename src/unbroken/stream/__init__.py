"""One HTTP response: the producer driven, the client watched, the end delivered."""
