"""Is the answer already known."""
