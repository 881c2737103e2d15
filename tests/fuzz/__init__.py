"""Parsers under any bytes: targets, what was found worth keeping (`corpus/`), and the long hunt (`__main__`)."""
