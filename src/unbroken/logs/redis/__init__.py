"""A log in Redis or Valkey: one server, one with replicas and Sentinels, or a cluster.

log         the log itself: what the contract asks, on the event loop
place       which engine, and the settings of its URL
topology    where the topics are now: fixed, asked of Sentinels, or in a cluster's slots
keys        the names of what is kept
scripts     what the engine does in one step, in Lua
framing     entries as the engine keeps and publishes them
pipe        one connection: what is written, and what comes back
wire        a pipe for commands
line        a wire that is made anew when it was lost
nodes       the lines to each node, and calls that find their node
hearing     what is published: subscriptions, kept up
voice       a pipe that subscribes
failures    what the engine's errors mean
"""

from unbroken.logs.redis.log import RedisLog, from_url

__all__ = ["RedisLog", "from_url"]
