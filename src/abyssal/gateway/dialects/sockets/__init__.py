"""Streams over WebSocket: three dialects of messages, and the session that one socket is."""
