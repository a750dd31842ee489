"""Where componentize-py looks for the resource of the interface `conversations`."""

from adapter import Conversation

__all__ = ["Conversation"]
