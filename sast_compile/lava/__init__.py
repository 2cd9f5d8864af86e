"""Compiled networks inside Lava applications (Python 3.10, lava-nc; no torch).

::

    from sast_compile.lava import CompiledNet

    net = CompiledNet("digits.loihi2.8b.sast")
    source.s_out.connect(net.inp)
    net.out.connect(sink.a_in)
"""

try:
    from sast_compile.lava.processes.compiled_net import CompiledNet
except ModuleNotFoundError as error:
    if error.name is None or error.name.split(".")[0] != "lava":
        raise
    from sast_compile.errors import BackendUnavailable

    raise BackendUnavailable(
        "Lava is not installed in this Python",
        where="sast_compile.lava",
        hint="Python 3.10: pip install sast-compile[lava]",
    ) from None

__all__ = ["CompiledNet"]
