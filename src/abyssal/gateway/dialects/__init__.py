"""Inbound formats, a file each: pure functions to and from the official chat form, the canonical one."""
