"""``setup-lava`` and ``doctor``: what is installed, and Lava's private environment."""

from __future__ import annotations

import platform
from importlib import import_module
from importlib.metadata import version

from sast_compile.backends.lava.environment import lava_status, setup_lava
from sast_compile.catalog import model_names, target_names
from sast_compile.cli.console import output, shown, table, working
from sast_compile.version import __version__

# by distribution: the module to import, and the extra that brings it
PACKAGES = {
    "numpy": ("numpy", None),
    "nir": ("nir", None),
    "h5py": ("h5py", None),
    "safetensors": ("safetensors", None),
    "msgspec": ("msgspec", None),
    "torch": ("torch", "torch"),
    "scikit-learn": ("sklearn", "data"),
}


def setup_lava_() -> None:
    """Make the private Python 3.10 environment in which Lava runs (once)."""
    with working("setting up Lava") as status:
        python = setup_lava(lambda text: status.update(f"setting up Lava: {shown(text)}"))
    output.print(f"[bold green]ready[/] {shown(python)}")


def doctor() -> None:
    """Say what works here, what does not, and what would make it work."""
    rows = table("sast-compile doctor", "part", "found")
    rows.add_row("sast-compile", f"{__version__} on Python {platform.python_version()}")
    for name in PACKAGES:
        rows.add_row(name, _found(name))
    rows.add_row("targets", ", ".join(target_names()))
    rows.add_row("models", ", ".join(model_names()))
    rows.add_row("Lava", shown(lava_status()))
    output.print(rows)


def _found(name: str) -> str:
    """The version of a package that can be imported, else why it cannot and what to do."""
    module, extra = PACKAGES[name]
    try:
        import_module(module)
        return version(name)
    except Exception as error:  # a broken library raises what it likes, and this verb is to say so
        if getattr(error, "name", None) in (module, name):
            way = f"pip install 'sast-compile[{extra}]'" if extra else f"pip install {name}"
            return f"[yellow]absent[/]: {shown(way)}"
        return f"[bold red]broken[/]: {shown(error)}"
