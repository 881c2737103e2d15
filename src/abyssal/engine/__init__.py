"""Embedded models: llama.cpp in a process of its own on a Unix socket, watched and restarted.

Import from the modules, so that nothing is loaded that is not used: `spec` (what to run), `supervisor`
(start it, keep it running), `launch` (run it alone in the foreground), `bundled` (the model that ships).
"""
