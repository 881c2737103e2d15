"""Where state rests: the journal (files), the snapshot that the data plane reads, SQL."""
