"""Conversations with an engine, and the files that keep them."""

from qwen3vl_edge.chat.context_policy import Prepared
from qwen3vl_edge.chat.conversation import ChatEvent, Conversation
from qwen3vl_edge.chat.notices import Notice, Policy
from qwen3vl_edge.chat.session_file import load_session, save_session
from qwen3vl_edge.chat.turns import History, Turn

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
