"""Ways to prove who sends a request: one file each, behind one protocol. No I/O; time is an argument.

    protocol             what the client asks of a way
    api_key              a key, the same with each request
    client_credentials   an access token, fetched from the service (OAuth 2.0)
    json_web_token       a token that the client signs itself
    request_signature    a signature over each request
    fetching             who fetches a token, and who waits meanwhile
    choice               which way the constructor's arguments mean

A new way is a file here and a line in `choice`.
"""
