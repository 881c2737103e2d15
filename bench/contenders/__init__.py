"""The programs that are measured: each knows how to start, where it listens, and its own CPU time."""
