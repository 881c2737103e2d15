"""Streams that a client may leave and come back to. No upstream is known here, nor how a connection works."""
