"""The command ``mammofill``, and ``python -m mammofill``."""

import sys


def main() -> int:
    """Run one command; see `mammofill.cli`. Ctrl-C is answered also in the moment that loading this takes."""
    try:
        from mammofill.cli import main as run_command

        return run_command()
    except KeyboardInterrupt:
        print("stopped; run the same command again to go on", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
