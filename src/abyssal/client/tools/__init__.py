"""Python functions as tools of a model.

    docstring    what a docstring says of a function and its parameters
    signature    a signature as a JSON schema, and arguments checked against it
    tool         the two together: a tool
    steps        asking, calling, asking again: whose turn it is, and what goes into the messages

Nothing here does I/O or calls a tool: the shells `sync_tools` and `async_tools` do.
"""
