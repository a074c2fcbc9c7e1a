"""A run that is killed twenty times against one that is left alone: are they the same, bit by bit?

    python benchmarks/kills.py [SEED]

Trains a short run of the digits undisturbed. Then starts the same command in another directory,
sends SIGKILL, and starts it again, until it ends. Kills come while the program starts (data, lock,
config, restoring), at random moments of training, and, on purpose, in the middle of saves: as soon
as orbax's temporary directory is there. Compares parameters, their moving average, the optimiser's
state, rows of metrics and result. About 12 minutes on 2 busy cores.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

from flowgmm_jax.training.trainer import load_state

ROOT = Path(__file__).parents[1]
KINDS = ["save", "training", "save", "start", "training"] * 4
OVERRIDES = {"steps": 500, "checkpoint_every": 20, "log_every": 10, "eval_every": 50}
LONGEST = 3000  # seconds of one start


def start(workdir: Path, cache: Path) -> subprocess.Popen:
    command = [sys.executable, "train.py", f"--workdir={workdir}"]
    command += [f"--config.train.{name}={value}" for name, value in OVERRIDES.items()]
    environment = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen) -> None:
    _, stderr = process.communicate(timeout=LONGEST)
    if process.returncode:
        sys.exit(f"the run ended with {process.returncode}:\n{stderr}")


def rows(workdir: Path) -> list[dict]:
    """The rows of metrics but for their seconds; a row cut short is left out."""
    path = workdir / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    found = [json.loads(line) for line in lines if line.endswith("\n")]
    return [{name: value for name, value in row.items() if name != "seconds"} for row in found]


def last_row(workdir: Path) -> int:
    return max((row["step"] for row in rows(workdir)), default=0)


def saves(workdir: Path) -> tuple[list[int], list[str]]:
    """The steps that are saved, and the names of what is being saved."""
    directory = workdir / "checkpoints"
    names = [path.name for path in directory.iterdir()] if directory.exists() else []
    unfinished = [name for name in names if not name.isdecimal()]
    return sorted(int(name) for name in names if name.isdecimal()), unfinished


def directories_of_saves(workdir: Path) -> set[tuple[str, int]]:
    """What is being saved, or was when a run was killed, and when that began."""
    paths = [workdir / "checkpoints" / name for name in saves(workdir)[1]]
    return {(path.name, path.stat().st_ctime_ns) for path in paths}


def until(condition, process: subprocess.Popen) -> None:
    """Waits for a condition, or for the end of the process."""
    deadline = time.monotonic() + LONGEST
    while process.poll() is None and not condition() and time.monotonic() < deadline:
        time.sleep(0.0005)


def wait_for_moment(kind: str, process: subprocess.Popen, workdir: Path, rng) -> None:
    """Returns when the process is to be killed, or has ended."""
    if kind == "start":
        moment = time.monotonic() + rng.uniform(0.5, 8.0)
        until(lambda: time.monotonic() > moment, process)
        return
    before, _ = saves(workdir)
    newest = max(before, default=0)
    if kind == "training":
        reached = max(newest, last_row(workdir)) + rng.choice([1, 10, 20])
        until(lambda: last_row(workdir) >= reached, process)
        moment = time.monotonic() + rng.uniform(0.0, 1.0)
        until(lambda: time.monotonic() > moment, process)
        return
    until(lambda: max(saves(workdir)[0], default=0) > newest, process)  # so that it gets on
    until(lambda: saves(workdir)[1], process)
    moment = time.monotonic() + rng.choice([0.0, rng.uniform(0.0, 0.01)])
    until(lambda: time.monotonic() > moment, process)


def same_bits(ours, theirs) -> bool:
    ours, theirs = jax.tree.leaves(ours), jax.tree.leaves(theirs)
    return len(ours) == len(theirs) and all(
        a.dtype == b.dtype
        and a.shape == b.shape
        and np.asarray(a).tobytes() == np.asarray(b).tobytes()
        for a, b in zip(ours, theirs, strict=True)
    )


def result(workdir: Path) -> dict:
    return json.loads((workdir / "result.json").read_text()) | {"seconds": 0}


def main() -> None:
    rng = random.Random(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    with tempfile.TemporaryDirectory() as folder:
        calm, killed, cache = (Path(folder) / name for name in ("calm", "killed", "cache"))
        finish(start(calm, cache))

        table = Table(title="SIGKILL")
        for header in ("", "meant for", "after", "last row", "newest save", "during a save"):
            table.add_column(header, justify="right")
        for number, kind in enumerate(KINDS, 1):
            left = directories_of_saves(killed)  # of the kill before
            process, began = start(killed, cache), time.monotonic()
            wait_for_moment(kind, process, killed, rng)
            process.kill()
            process.communicate()
            if process.returncode == 0:
                table.add_row(str(number), kind, "", "", "", "had ended")
                break
            if process.returncode != -9:
                sys.exit(f"start {number} ended by itself with {process.returncode}")
            steps, _ = saves(killed)
            unfinished = directories_of_saves(killed) - left
            table.add_row(
                str(number),
                kind,
                f"{time.monotonic() - began:.2f} s",
                str(last_row(killed)),
                str(max(steps, default="none")),
                " ".join(name for name, _ in unfinished) or "no",
            )
        finish(start(killed, cache))
        Console(width=110).print(table)

        ours, theirs = (load_state(workdir)[1] for workdir in (killed, calm))
        verdict = Table("killed against undisturbed", "the same bits")
        for field in ours._fields:
            verdict.add_row(field, str(same_bits(getattr(ours, field), getattr(theirs, field))))
        verdict.add_row(f"metrics.jsonl, {len(rows(calm))} rows", str(rows(killed) == rows(calm)))
        verdict.add_row("result.json", str(result(killed) == result(calm)))
        leftovers = [path.name for path in killed.rglob("*tmp*")]
        verdict.add_row("left over", " ".join(leftovers) or "nothing")
        Console(width=110).print(verdict)


if __name__ == "__main__":
    main()
