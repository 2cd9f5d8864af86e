"""The command line: parses, calls, prints.

Exit codes: 0 all is well (for ``verify``: proven); 1 an error, or a difference found; 2 a wrong
command line; 3 ``verify`` found no difference but proved nothing (no independent oracle ran, or a
layer stayed silent); 130 interrupted.
"""

from sast_compile.cli.app import main

__all__ = ["main"]
