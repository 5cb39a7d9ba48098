"""Topics in a stream of NATS JetStream, for all processes that reach its servers.

The `NATSLog` to read first is in `log`. Everything that is sent to NATS leaves through `connection`; what JetStream is
asked is in `jetstream`, and what a topic looks like in its stream is in `record`.
"""

from unbroken.errors import MissingExtraError

try:
    from unbroken.logs.nats.log import NATSLog, from_url
except ModuleNotFoundError as exc:
    if exc.name is None or exc.name.partition(".")[0] != "nats":
        raise
    raise MissingExtraError("nats-py", "nats") from exc

__all__ = ["NATSLog", "from_url"]
