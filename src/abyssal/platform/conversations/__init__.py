"""Conversations: what was said before, kept for a project; its routes, and what calls ask for."""
