"""`python -m abyssal` is the `abyssal` command."""

from abyssal.cli import main

main()
