"""
`python -m gateway` is the command `planhat-gateway`.

Nothing is imported before `main` runs, so that a Ctrl-C ends the imports, too, without a traceback.
"""

from __future__ import annotations


def main() -> None:
    """Run the command line of this process; exit code 130 when it is interrupted before the command line is there."""
    try:
        from gateway.cli import main as command_line  # noqa: PLC0415  the import is what may be interrupted

        command_line()
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
