"""What more devices cost and save: bytes that a step adds up over them, against its FLOPs.

    python benchmarks/growth.py

Counted from the program of a step on 1, 2, 4 and 8 virtual devices (benchmarks/flops.py), which is
traced, not run: FLOPs of a device, and bytes that it puts into the sum of the gradients. From
these, not measured, the share of a step that 8 GPUs of one host and a pod of 256 TPU chips would
wait for each other, each with the batch of its own that the config has for all. The assumptions are
``MACHINES``: a ring or a torus adds up b bytes over n devices by sending 2 (n - 1) / n b bytes from
every device, nothing is sent while something is computed, and latency and the host, which for the
small networks take more than both, are left out. With one microbatch a device
(``config.train.microbatches = 0``): a fixed number of them gathers the gradients instead, which
sends (n - 1) b.
"""

import json
import os
import subprocess
import sys
from typing import NamedTuple

DEVICES = (1, 2, 4, 8)
CONFIGS = ("cifar10_4k", "mnist_1k:published", "mnist_1k_fast", "digits")


class Machine(NamedTuple):
    """Figures of the makers, for one device.

    Attributes:
      devices: number of them.
      flops_per_second: of dense bfloat16 matrix products.
      bytes_per_second: that it sends to the others.
    """

    devices: int
    flops_per_second: float
    bytes_per_second: float


MACHINES = {
    "8 H100, NVLink": Machine(8, 989e12, 450e9),
    "256 TPU v5e": Machine(256, 197e12, 100e9),  # half of 1,600 Gbit/s, of two directions
}
SHARES = (1.0, 0.1)  # of the FLOP/s that a step reaches


def waiting(flops: float, sent_bytes: float, machine: Machine, share: float) -> float:
    """Time of the sum over time of the step."""
    n = machine.devices
    add_up = 2 * (n - 1) / n * sent_bytes / machine.bytes_per_second
    return add_up / (add_up + flops / (share * machine.flops_per_second))


def count() -> None:
    """Prints, of the devices that this process has, what one of them does in a step of each config,
    as JSON."""
    import jax
    import made_up
    from flops import cost

    from flowgmm_jax.config import load_config

    found = {}
    for spec in CONFIGS:
        training = made_up.training(load_config(spec, microbatches=0))
        state = made_up.shape_of_state(training.first_state)
        found[spec] = cost(training.train_steps, state, training.data, 0, 1)._asdict()
        jax.clear_caches()
    print(json.dumps(found))


def counted(devices: int) -> dict[str, dict[str, float]]:
    """``count`` of a process with so many devices of the CPU."""
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(devices)}
    command = [sys.executable, __file__, "count"]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    from record import table

    found = {devices: counted(devices) for devices in DEVICES}
    rows = [
        [
            spec,
            *(f"{found[n][spec]['flops'] / 1e9:.3g}" for n in DEVICES),
            f"{found[DEVICES[-1]][spec]['sent_bytes'] / 1e6:.3g}",
            *(
                f"{waiting(*found[1][spec].values(), machine, share):.1%}"
                for machine in MACHINES.values()
                for share in SHARES
            ),
        ]
        for spec in CONFIGS
    ]
    header = ["config", *(f"GFLOP on {n}" for n in DEVICES), "MB added up"]
    header += [f"{name}, at {share:.0%}" for name in MACHINES for share in SHARES]
    print(table(header, rows), end="")


if __name__ == "__main__":
    count() if sys.argv[1:] == ["count"] else main()
