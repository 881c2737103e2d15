"""The control plane: plain services over stores, and their HTTP routes."""
