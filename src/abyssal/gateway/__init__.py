"""The data plane: one worker process, one event loop, no database."""
