"""Streams over WebSocket, without I/O.

    params       what may be asked, and the message that asks it
    frames       a socket's bytes: its upgrade, its messages, its pings, how it closed
    reading      one answer's messages: pieces out, and how it ended

The shells are `sync_socket` and `async_socket`.
"""
