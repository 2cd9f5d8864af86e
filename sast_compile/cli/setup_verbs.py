"""``setup-lava`` and ``doctor``: what is installed, and Lava's private environment."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from rich.markup import escape

from sast_compile import __version__
from sast_compile.backends.lava.environment import lava_status, setup_lava
from sast_compile.catalog import model_names, target_names
from sast_compile.cli.console import output, table, working

PACKAGES = ("numpy", "nir", "h5py", "safetensors", "msgspec", "torch", "scikit-learn")


def setup_lava_() -> None:
    """Make the private Python 3.10 environment in which Lava runs (once)."""
    with working("setting up Lava") as status:
        python = setup_lava(lambda text: status.update(f"setting up Lava: {escape(text)}"))
    output.print(f"[bold green]ready[/] {escape(str(python))}")


def doctor() -> None:
    """Say what works here, what does not, and what would make it work."""
    rows = table("sast-compile doctor", "part", "found")
    rows.add_row("sast-compile", f"{__version__} on Python {platform.python_version()}")
    for name in PACKAGES:
        try:
            rows.add_row(name, version(name))
        except PackageNotFoundError:
            rows.add_row(name, "[yellow]absent[/]")
    rows.add_row("targets", ", ".join(target_names()))
    rows.add_row("models", ", ".join(model_names()))
    rows.add_row("Lava", escape(str(lava_status())))
    output.print(rows)
