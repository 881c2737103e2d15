"""The speed and memory of gateway, engine and SDK, measured beside their references in one run."""
