"""The OAuth 2.0 authorization server: access tokens for clients (RFC 6749 §4.4, RFC 9068), and their end."""
