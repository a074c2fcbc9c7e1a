"""Training from the host's memory against training from the device's, in one run.

    python benchmarks/streaming.py

The default config, the 8x8 digits, trained by turns for a few calls with its examples on the device
and streamed from the host. The smaller the step, the more streaming shows; that of the digits is
tiny. Prints steps a second of both and the ratio of each round.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import jax
from rich.console import Console
from rich.table import Table

from flowgmm_jax import cli, devices
from flowgmm_jax.training.trainer import make_batches, map_steps, prepare

CONFIG = Path(__file__).parents[1] / "configs" / "digits.py"
ROUNDS, CALLS = 7, 5


def make_run(device_bytes: int) -> Callable[[], float]:
    """A function that goes on with a training of its own, and returns steps a second."""
    config = cli.load_config(str(CONFIG))
    config.data.device_bytes = device_bytes
    prepared = prepare(config)
    source = make_batches(prepared, 0)
    train_steps = map_steps(prepared, source)
    state = devices.replicate(prepared.make_state())
    count = config.train.steps_per_call

    def run():
        nonlocal state
        start = time.monotonic()
        for _ in range(CALLS):
            state, metrics = train_steps(state, source.next_data(count), config.seed, count)
            jax.device_get(devices.unreplicate(metrics))
        return CALLS * count / (time.monotonic() - start)

    run()  # compiles
    return run


def main() -> None:
    on_device, on_host = make_run(2**40), make_run(0)
    rounds = [(on_device(), on_host()) for _ in range(ROUNDS)]
    table = Table("steps/s", "on the device", "from the host", "ratio")
    for i, (device, host) in enumerate(rounds):
        table.add_row(f"round {i}", f"{device:.1f}", f"{host:.1f}", f"{host / device:.3f}")
    device, host = (statistics.median(rates) for rates in zip(*rounds, strict=True))
    ratio = statistics.median(host / device for device, host in rounds)
    table.add_row("median", f"{device:.1f}", f"{host:.1f}", f"{ratio:.3f}")
    Console().print(table)
    print(f"{jax.device_count()} x {jax.devices()[0].device_kind}")


if __name__ == "__main__":
    main()
