"""The terminal chat: what it understands, how it draws, where it keeps what was said."""
