"""A run that SIGKILL ends in the middle of a save, started again by the same command."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
import tiny

from flowgmm_jax.training.trainer import load_state, train

ROOT = Path(__file__).parents[2]
OFTEN = {"steps": 200, "log_every": 10, "eval_every": 50, "checkpoint_every": 20}


def rows(workdir):
    found = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [row | {"seconds": 0} for row in found]


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """The directory of a run that was killed while it saved, and not for the first time."""
    workdir = tmp_path_factory.mktemp("runs") / "killed"
    command = [sys.executable, "train.py", f"--config={tiny.__file__}", f"--workdir={workdir}"]
    command += [f"--config.train.{name}={value}" for name, value in OFTEN.items()]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        names = os.listdir(workdir / "checkpoints") if (workdir / "checkpoints").exists() else []
        if any(name.isdecimal() for name in names) and not all(n.isdecimal() for n in names):
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.returncode == -signal.SIGKILL
    return workdir


def test_a_killed_run_ends_as_an_undisturbed_one(killed, tmp_path):
    config = tiny.complete_config()
    config.train.update(OFTEN)
    assert not (killed / "result.json").exists()
    train(config, killed)
    train(config, tmp_path / "calm")
    ours, theirs = (load_state(workdir)[1] for workdir in (killed, tmp_path / "calm"))
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    assert rows(killed) == rows(tmp_path / "calm")
    results = [json.loads((run / "result.json").read_text()) for run in (killed, tmp_path / "calm")]
    assert results[0] | {"seconds": 0} == results[1] | {"seconds": 0}
    assert not list(killed.rglob("*tmp*"))
