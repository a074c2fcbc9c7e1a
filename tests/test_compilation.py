"""A second start finds the programs that the first compiled."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax

from flowgmm_jax.compilation import keep_compiled_programs

ROOT = Path(__file__).parents[1]


def train(workdir, **environment):
    """Rows and result of a run of two steps, without their times."""
    command = [sys.executable, "train.py", "--config=configs/moons.py", f"--workdir={workdir}"]
    environment |= {
        "JAX_ENABLE_COMPILATION_CACHE": "true",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    inherited = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    subprocess.run(
        [*command, "--config.train.steps=2", "--config.flow.hidden=(4,)"],
        cwd=ROOT,
        env=inherited | environment,
        check=True,
        capture_output=True,
        timeout=240,
    )
    texts = (workdir / "metrics.jsonl").read_text(), (workdir / "result.json").read_text()
    rows = [*map(json.loads, texts[0].splitlines()), json.loads(texts[1])]
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def programs(directory):
    return {path.name for path in directory.rglob("*-cache")}


def test_a_second_start_compiles_nothing_and_gives_the_same_run(tmp_path):
    cache = tmp_path / "cache"
    first = train(tmp_path / "first", XDG_CACHE_HOME=str(cache))
    kept = programs(cache / "flowgmm_jax")
    assert kept
    second = train(tmp_path / "second", XDG_CACHE_HOME=str(cache))
    assert programs(cache / "flowgmm_jax") == kept
    assert first == second


def test_the_directory_of_jax_goes_before_ours():
    own = os.environ["JAX_COMPILATION_CACHE_DIR"]
    keep_compiled_programs()
    assert jax.config.jax_compilation_cache_dir == own
