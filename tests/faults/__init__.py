"""Real servers, real sockets, real faults: what a stream's generator gets told, and what is left of it."""
