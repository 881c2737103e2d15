"""What makes the load: the request generators, the upstreams, and the payloads that both speak."""
