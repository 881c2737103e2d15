"""Connections to upstreams, and a file per upstream kind."""
