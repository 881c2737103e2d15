"""Who may manage what, and the management itself: organisations, projects, members, credentials."""
