"""The recipe of the bundled model, from text to GGUF and reference answers. Needs the `train` extra."""
