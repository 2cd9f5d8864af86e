"""``python -m sast_compile``, and the ``sast-compile`` command."""

from __future__ import annotations

import sys


def main() -> None:
    """The command line. It is imported here, so that Ctrl-C during the imports ends in one line."""
    try:
        from sast_compile.cli import main as run
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
