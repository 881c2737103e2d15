"""What rests in SQL: one schema, SQLite (WAL) by default. Only the control plane opens it."""
