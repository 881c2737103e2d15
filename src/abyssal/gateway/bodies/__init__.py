"""Bodies that are not plain JSON: compressed ones, and Protobuf. A layer around the routes."""
