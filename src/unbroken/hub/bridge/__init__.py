"""Publishing over HTTP, for those who publish from elsewhere."""

from unbroken.hub.bridge.app import Append, PublishApp
from unbroken.hub.bridge.tokens import TokensGiven

__all__ = ["Append", "PublishApp", "TokensGiven"]
