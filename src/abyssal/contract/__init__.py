"""What the platform offers over HTTP as one table, and what is made from it: the OpenAPI document, the pages.

It stands above the gateway and the control plane, because it knows the types that both of them decode.
Nothing of it is imported before somebody asks for a page.
"""
