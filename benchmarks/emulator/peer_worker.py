"""One peer in its own environment: a network from a file, times and spikes on request.

    python peer_worker.py FRAMEWORK NETWORK.npz

Imports nothing of this project. Requests are lines of JSON on stdin, answers lines on stdout; what
a framework prints goes to stderr. Layers without a state are torch's own, called once for all steps
of a batch; the neurons are the framework's, over all steps if it can, else in a loop. Events lie
ready as floats, and no gradients are kept.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Layer = dict[str, Any]
OverTime = Callable[
    [Tensor], Tensor
]  # currents (steps, batch, ..) to spikes, from a state of zeros


def snntorch(lif: Layer) -> OverTime:
    """`Synaptic`, or `Leaky` where the current is not kept, in a loop over steps."""
    import snntorch

    shared = {"beta": lif["beta"], "threshold": lif["threshold"]}
    shared |= {"reset_mechanism": "zero", "reset_delay": False}
    if lif["alpha"] == 0:
        neuron = snntorch.Leaky(**shared)
    else:
        neuron = snntorch.Synaptic(alpha=lif["alpha"], **shared)

    def over_time(currents: Tensor) -> Tensor:
        zeros, spikes = neuron.reset_mem(), []
        state = zeros if isinstance(zeros, tuple) else (zeros,)
        for current in currents:
            spike, *state = neuron(current, *state)
            spikes.append(spike)
        return torch.stack(spikes)

    return over_time


def norse(lif: Layer) -> OverTime:
    """`LIF`, whose v is (1 - beta) times ours; `LIFBoxCell` where the current is not kept."""
    import norse.torch as norse

    dt, scale = 0.001, 1 - lif["beta"]
    theta = torch.as_tensor(lif["threshold"] * scale)
    mem = torch.as_tensor(scale / dt)
    if lif["alpha"] == 0:
        box = norse.LIFBoxCell(norse.LIFBoxParameters(tau_mem_inv=mem, v_th=theta), dt=dt)
        over_steps = norse.Lift(box)
    else:
        syn = torch.as_tensor((1 - lif["alpha"]) / dt)
        parameters = norse.LIFParameters(tau_syn_inv=syn, tau_mem_inv=mem, v_th=theta)
        over_steps = norse.LIF(parameters, dt=dt)
    return lambda currents: over_steps(currents)[0]


def sinabs(lif: Layer) -> OverTime:
    """`LIF` with `SingleSpike`: its i_syn, and so v, is alpha times ours; batch before time."""
    from sinabs.activation import MembraneReset, SingleSpike
    from sinabs.layers import LIF

    keeps = lif["alpha"] > 0
    neuron = LIF(
        tau_mem=-1 / np.log(lif["beta"]),
        tau_syn=-1 / np.log(lif["alpha"]) if keeps else None,
        spike_threshold=torch.tensor(above(lif["threshold"] * (lif["alpha"] if keeps else 1))),
        spike_fn=SingleSpike,
        reset_fn=MembraneReset(),
        norm_input=False,
    )

    def over_time(currents: Tensor) -> Tensor:
        neuron.reset_states()
        return neuron(currents.transpose(0, 1)).transpose(0, 1)

    return over_time


def spikingjelly(lif: Layer) -> OverTime:
    """`CUBALIFNode`, or `LIFNode` where the current is not kept, in multi-step mode."""
    from spikingjelly.activation_based import functional, neuron

    shared = {"v_threshold": above(lif["threshold"]), "v_reset": 0.0}
    if lif["alpha"] == 0:
        node = neuron.LIFNode(tau=1 / (1 - lif["beta"]), decay_input=False, **shared)
    else:
        node = neuron.CUBALIFNode(c_decay=lif["alpha"], v_decay=lif["beta"], **shared)
    functional.set_step_mode(node, "m")

    def over_time(currents: Tensor) -> Tensor:
        functional.reset_net(node)
        return node(currents)

    return over_time


def above(threshold: float) -> float:
    """The next float32: where a framework fires at v >= threshold and the network at v >."""
    return float(np.nextafter(np.float32(threshold), np.float32(np.inf)))


FRAMEWORKS = {f.__name__: f for f in (snntorch, norse, sinabs, spikingjelly)}


class Network:
    """The layers of a file in one framework."""

    def __init__(self, framework: str, path: str) -> None:
        with np.load(path) as arrays:
            described = json.loads(str(arrays["layers"]))
            self.events = torch.from_numpy(arrays["events"]).float().transpose(0, 1).contiguous()
            make = FRAMEWORKS[framework]
            self.layers = [
                (layer.get("name"), make(layer) if layer["kind"] == "lif"
                 else over_all_steps(stateless(layer, arrays)))
                for layer in described
            ]  # fmt: skip

    def batch(self, first: int, size: int) -> Tensor:
        """``size`` samples from ``first`` on, from the front again behind the last: a copy."""
        return self.events[:, [(first + i) % self.events.shape[1] for i in range(size)]]

    def outputs(self, x: Tensor) -> Tensor:
        for _, layer in self.layers:
            x = layer(x)
        return x

    def spikes(self, x: Tensor) -> dict[str, np.ndarray]:
        """Of every population: (samples, steps, ..)."""
        found = {}
        for name, layer in self.layers:
            x = layer(x)
            if name:
                found[name] = x.transpose(0, 1).numpy() > 0
        return found


def stateless(layer: Layer, arrays: Any) -> nn.Module:
    """A torch module of one step."""
    if layer["kind"] == "flatten":
        return nn.Flatten()
    if layer["kind"] == "sum_pool":
        return nn.AvgPool2d(layer["kernel"], layer["stride"], divisor_override=1)
    weight = torch.from_numpy(arrays[layer["weight"]])
    if layer["kind"] == "dense":
        module: nn.Module = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    else:
        outputs, inputs, *kernel = weight.shape
        sides = layer["stride"], layer["padding"]
        module = nn.Conv2d(inputs, outputs, tuple(kernel), *sides, bias=False)
    module.weight.data = weight
    return module


def over_all_steps(module: nn.Module) -> OverTime:
    def call(x: Tensor) -> Tensor:
        return module(x.flatten(0, 1)).unflatten(0, x.shape[:2])

    return call


def timed(network: Network, batch: int, threads: int, seconds: float) -> dict[str, float]:
    """How many samples in how long, in whole batches, for ``seconds`` at least."""
    torch.set_num_threads(threads)
    given = network.batch(0, batch)
    done, began = 0, time.perf_counter()
    while True:
        network.outputs(given)
        done += batch
        took = time.perf_counter() - began
        if took >= seconds:
            return {"samples": done, "seconds": took}


def answer(network: Network, request: dict[str, Any]) -> dict[str, Any]:
    match request.pop("do"):
        case "time":
            return timed(network, **request)
        case "spikes":
            found = network.spikes(network.batch(0, request["samples"]))
            np.savez(request["path"], **{k: np.packbits(v) for k, v in found.items()})
            return {}
        case other:
            return {"error": f"no such request: {other}"}


def main(framework: str, path: str) -> None:
    """Says what it is, then answers until stdin ends."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    torch.set_grad_enabled(False)
    network = Network(framework, path)
    versions = " ".join(f"{name} {version(name)}" for name in (framework, "torch"))
    print(json.dumps({"versions": versions}), file=out, flush=True)
    for line in sys.stdin:
        try:
            reply = answer(network, json.loads(line))
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), file=out, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
