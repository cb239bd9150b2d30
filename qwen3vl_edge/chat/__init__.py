"""Conversations with an engine, and the files that keep them."""

from qwen3vl_edge.chat.conversation import ChatEvent, Conversation, History, Notice, Policy, Prepared
from qwen3vl_edge.chat.session_file import load_session, save_session
from qwen3vl_edge.chat.turns import Turn

__all__ = [
    "ChatEvent",
    "Conversation",
    "History",
    "Notice",
    "Policy",
    "Prepared",
    "Turn",
    "load_session",
    "save_session",
]
