"""What crosses the network: bytes and values in, bytes and values out; no I/O, no clock, no event loop."""
