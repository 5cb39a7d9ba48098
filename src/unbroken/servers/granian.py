"""granian. Seen in 2.8.

Its `send` and its sockets are Rust's; nothing but the addresses leads to them.

* A client's leaving reaches `receive()`. One hidden behind a pipelined request
  shows at the socket, which is looked at in the heartbeat's interval.
* Backpressure counts messages (about ten), not bytes: bodies are sent in pieces
  of at most 64 KiB, so that what waits for a client is bounded in bytes too.
* Its futures, when cancelled, do not call back: who waits for one must be woken by other means.
* Addresses come as text, the port too.
* An application that raises truncates the body (HTTP/1.1) or resets the stream (HTTP/2).
* On HTTP/2 a single stream cannot be aborted: a client that takes nothing is
  left alone when its stream ends with `send_timeout`, and goes with its connection.
"""
