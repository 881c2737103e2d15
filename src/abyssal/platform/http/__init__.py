"""The control plane's HTTP routes, an ASGI application behind the workers."""
