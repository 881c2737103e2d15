"""May they, now: concurrency caps."""
