"""Which upstream answers a model."""
