"""The command line: a file per command, assembled in `app`."""

from __future__ import annotations


def main() -> None:
    """The `abyssal` command."""
    try:
        from abyssal.cli.app import run
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich", "click"):
            raise
        import sys

        sys.exit(f"abyssal: the command line needs {error.name}; install it with: pip install 'abyssal[cli]'")
    except KeyboardInterrupt:  # the imports take long enough for somebody to change their mind
        raise SystemExit(130) from None
    run()
