"""What a run sends, in the protocol of a library in the page.

ui_messages           a run's parts as the AI SDK's UI message stream
ui_message_response   and the response that its `useChat` reads
"""

from unbroken.runs.encoders.ui_message_response import UI_MESSAGE_HEADERS, ui_message_response
from unbroken.runs.encoders.ui_messages import Chunk, ui_messages

__all__ = ["UI_MESSAGE_HEADERS", "Chunk", "ui_message_response", "ui_messages"]
