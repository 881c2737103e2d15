"""What the platform repairs of calls, a file for each repair. The table and its switches: docs/repairs.md."""
