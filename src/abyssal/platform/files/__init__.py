"""Files that clients upload: what may be stored, for whom, for how long."""
