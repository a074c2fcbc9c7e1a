"""How long a config takes from the start of train.py to the end of its first step.

    python benchmarks/start.py mnist_1k_fast DIR [CONFIG ...]

DIR is the data directory. Each config is started twice in an empty directory, with an empty and
with a warm cache of compiled programs, and stopped after its first step.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]


def seconds(config: str, data_dir: str, workdir: Path, cache: str) -> float:
    """From the start of the process to the row of the first step in metrics.jsonl."""
    command = [sys.executable, "train.py", f"--config={config}", f"--workdir={workdir}"]
    command += [f"--config.data.data_dir={Path(data_dir).resolve()}"]
    command += ["--config.train.log_every=1", "--config.train.steps_per_call=1"]
    start = time.perf_counter()
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": cache}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
    rows = workdir / "metrics.jsonl"
    while not (rows.exists() and rows.stat().st_size):
        if process.poll() is not None:
            sys.exit(f"{' '.join(command)} ended with {process.returncode} before its first step")
        time.sleep(0.05)
    elapsed = time.perf_counter() - start
    process.kill()
    process.wait()
    return elapsed


def main() -> None:
    if len(sys.argv) < 3:
        sys.exit(__doc__.split("\n\n")[1])
    first, data_dir, *others = sys.argv[1:]
    table = Table("config", "empty cache (s)", "warm cache (s)")
    for config in (first, *others):
        with tempfile.TemporaryDirectory() as folder:
            cache = str(Path(folder) / "cache")
            times = [seconds(config, data_dir, Path(folder) / name, cache) for name in "12"]
        table.add_row(config, *[f"{time:.1f}" for time in times])
    Console().print(table)


if __name__ == "__main__":
    main()
