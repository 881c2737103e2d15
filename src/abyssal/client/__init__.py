"""The SDK: one core that decides (no I/O, no clock), and two thin shells that act, blocking and asyncio.

    params, request      arguments → endpoints and bytes
    settings, timeout    where to and how long; `defaults` has every figure
    credentials          as whom: the ways to prove it
    retry                whether and when to try again
    answer, faults       whole answers → typed values or the right error
    reading, assembly    a stream's bytes → chunks → one completion
    core                 the above as calls, each with its next move
    history, tools       what a session remembers; Python functions for a model to call
    http1                HTTP/1.1 as a client reads it
    sync_*, async_*      the shells: client, chat, calls, stream, session, tools
    transport            what sends: a protocol, kept by
      direct_*             sockets of our own: the usual way
      pyreqwest_*          through a proxy, or with its own list of trusted authorities

Import the public names from `abyssal`.
"""
