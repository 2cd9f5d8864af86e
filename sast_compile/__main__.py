"""``python -m sast_compile``, and the ``sast-compile`` command."""

from __future__ import annotations

from sast_compile.cli import main

if __name__ == "__main__":
    main()
