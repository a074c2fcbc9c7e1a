"""One run of digits:glow on several numbers of devices and processes, and the loss of a process.

    python benchmarks/devices.py [--steps=300] [--every=50]

Once with ``config.train.microbatches = 0``, one microbatch a device, and once with a fixed number
of microbatches. Devices are virtual ones of the CPU. The difference of two runs is, over the leaves
of their parameters, the largest norm of a leaf's difference relative to its norm, 0 where every bit
agrees; printed at every checkpoint, against the run on one device. About 12 minutes on 2 cores.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import numpy as np
from absl import app, flags, logging
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from flowgmm_jax.training.trainer import load_state

ROOT = Path(__file__).parents[1]
STEPS = flags.DEFINE_integer("steps", 300, "Steps of each run.")
EVERY = flags.DEFINE_integer("every", 50, "Steps between two comparisons.")
MICROBATCHES = 8
# Devices of each process; "then" goes on from the middle of the run on one device.
RUNS = {
    0: {"1 device": [1], "2 devices": [2], "8 devices": [8], "2 processes of 1": [1, 1]},
    MICROBATCHES: {
        "1 device": [1],
        "2 devices": [2],
        "4 devices": [4],
        "8 devices": [8],
        "2 processes of 1": [1, 1],
        "2 processes of 2": [2, 2],
        "1 device, then 4": [4],
    },
}


def start(workdir: Path, microbatches: int, devices: list[int]) -> list[subprocess.Popen]:
    """The processes of a run, each with so many virtual devices."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = []
    for i, count in enumerate(devices):
        command = [
            sys.executable,
            str(ROOT / "train.py"),
            "--config=digits:glow",
            f"--workdir={workdir}",
            f"--config.train.steps={STEPS.value}",
            f"--config.train.checkpoint_every={EVERY.value}",
            f"--config.train.log_every={EVERY.value}",
            "--config.train.eval_every=0",
            f"--config.train.microbatches={microbatches}",
        ]
        if len(devices) > 1:
            command += [f"--coordinator=127.0.0.1:{port}", f"--num_processes={len(devices)}"]
            command += [f"--process_id={i}"]
        environment = os.environ | {"JAX_NUM_CPU_DEVICES": str(count), "PYTHONPATH": str(ROOT)}
        pipe = subprocess.PIPE
        processes.append(
            subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)
        )
    return processes


def checkpoint_of(workdir: Path, step: int) -> Path:
    """A directory of a run that has the one checkpoint."""
    copy = workdir.parent / f"{workdir.name} at {step}"
    shutil.copytree(workdir / "checkpoints" / str(step), copy / "checkpoints" / str(step))
    shutil.copy(workdir / "config.json", copy)
    return copy


def finish(workdir: Path, processes: list[subprocess.Popen]) -> dict[int, list[np.ndarray]]:
    """Waits for a run; its parameters at each checkpoint."""
    copies = {}
    while any([process.poll() is None for process in processes]) or STEPS.value not in copies:
        for step in range(EVERY.value, STEPS.value + 1, EVERY.value):
            if step not in copies and (workdir / "checkpoints" / str(step)).exists():
                copies[step] = checkpoint_of(workdir, step)
        if any(process.poll() for process in processes):
            sys.exit("\n".join(process.communicate()[1] for process in processes))
        time.sleep(0.1)
    return {
        step: [np.asarray(a, np.float64) for a in jax.tree.leaves(load_state(copy)[1].params)]
        for step, copy in copies.items()
    }


def difference(ours: list[np.ndarray], theirs: list[np.ndarray]) -> float:
    """The largest over the leaves of ||a - b|| / ||b||."""
    norm = np.linalg.norm
    return max(norm(a - b) / norm(b) for a, b in zip(ours, theirs, strict=True) if norm(b))


def accuracy(workdir: Path) -> float:
    return json.loads((workdir / "result.json").read_text())["accuracy"]


def compare(root: Path, microbatches: int) -> Table:
    """All runs of a batch in so many microbatches against the first."""
    steps = list(range(EVERY.value, STEPS.value + 1, EVERY.value))
    table = Table(
        f"train.microbatches = {microbatches}",
        *(f"step {step}" for step in steps),
        "accuracy (%)",
        "seconds",
    )
    one = {}
    for name, devices in tqdm(RUNS[microbatches].items(), unit="run"):
        workdir = root / name
        if "then" in name:
            middle = steps[(len(steps) - 1) // 2]
            shutil.copytree(root / f"1 device at {middle}", workdir)
        begun = time.monotonic()
        states = finish(workdir, start(workdir, microbatches, devices))
        one = one or states
        table.add_row(
            name,
            *(f"{difference(states[s], one[s]):.1g}" if s in states else "" for s in steps),
            f"{accuracy(workdir):.2f}",
            f"{time.monotonic() - begun:.0f}",
        )
    return table


def kill(root: Path, victim: int) -> Table:
    """Kills one of two processes after the second checkpoint, and starts them again."""
    workdir = root / f"process {victim} killed"
    processes = start(workdir, MICROBATCHES, [1, 1])
    while not (workdir / "checkpoints" / str(2 * EVERY.value)).exists():
        time.sleep(0.1)
    processes[victim].send_signal(signal.SIGKILL)
    killed = time.monotonic()
    _, stderr = processes[1 - victim].communicate()
    seconds = time.monotonic() - killed
    processes[victim].communicate()
    states = finish(workdir, start(workdir, MICROBATCHES, [1, 1]))
    undisturbed = load_state(root / str(MICROBATCHES) / "2 processes of 1")[1].params
    undisturbed = [np.asarray(a, np.float64) for a in jax.tree.leaves(undisturbed)]
    table = Table(f"process {victim} of 2 killed", "")
    table.add_row("the other said", stderr.strip().splitlines()[-1])
    table.add_row(
        "and ended after", f"{seconds:.1f} s, exit code {processes[1 - victim].returncode}"
    )
    table.add_row("started again, ended at step", str(max(states)))
    table.add_row(
        "difference to undisturbed", f"{difference(states[max(states)], undisturbed):.1g}"
    )
    return table


def main(argv) -> None:
    del argv
    logging.set_verbosity(logging.WARNING)  # orbax tells every restore at length
    console = Console(width=130)
    with tempfile.TemporaryDirectory() as root:
        for microbatches in RUNS:
            console.print(compare(Path(root) / str(microbatches), microbatches))
        for victim in (1, 0):
            console.print(kill(Path(root), victim))


if __name__ == "__main__":
    app.run(main)
