"""Bytes up, bytes down."""
