"""Several processes over loopback: one run, one writer, one end."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
import tiny

from flowgmm_jax import InputError
from flowgmm_jax.runs import processes
from flowgmm_jax.training.trainer import load_state, train

ROOT = Path(__file__).parents[2]
FIELDS = {
    "data.name": "pinwheel",  # needs no scikit-learn, which takes a second of every start
    "train.steps": 200,
    "train.log_every": 50,
    "train.eval_every": 0,
    "train.checkpoint_every": 100,
    "train.microbatches": 4,
}
SLOWLY = {"train.log_every": 1, "train.checkpoint_every": 5}  # leaves time to send a signal


# Of a script that sbatch started: a Slurm job, but none that srun started as several tasks.
BATCH_SCRIPT = {"SLURM_JOB_ID": "1", "SLURM_NTASKS": "2", "SLURM_PROCID": "0"}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(workdir, *flags, num_devices=1, fields=(), environment=()):
    """Starts train.py on some virtual devices."""
    fields = FIELDS | dict(fields)
    variables = {
        "JAX_NUM_CPU_DEVICES": str(num_devices),
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.Popen(
        [
            *(sys.executable, "train.py", f"--config={tiny.__file__}", f"--workdir={workdir}"),
            *(f"--config.{name}={value}" for name, value in fields.items()),
            *flags,
        ],
        cwd=ROOT,
        env=os.environ | variables | dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def train_here(workdir):
    """The run on the devices of this process, two unless the environment says otherwise."""
    config = tiny.complete_config()
    config.update_from_flattened_dict(FIELDS)
    train(config, workdir)


def start_two(workdir, both=(), second=(), num_devices=(1, 1)):
    """Starts two processes of one job; the second may have other fields and devices."""
    job = (f"--coordinator=127.0.0.1:{free_port()}", "--num_processes=2")
    fields = (dict(both), dict(both) | dict(second))
    return [
        start(workdir, *job, f"--process_id={i}", num_devices=num_devices[i], fields=fields[i])
        for i in range(2)
    ]


def end(processes):
    """Exit codes, what was printed, and the lines of what was reported."""
    try:
        outputs = [process.communicate(timeout=300) for process in processes]
    finally:
        for process in processes:
            process.kill()
    codes = [process.returncode for process in processes]
    printed = ["".join(x for x in out.splitlines() if "[Gloo]" not in x) for out, _ in outputs]
    errors = [err.replace("\r", "\n").strip().splitlines() for _, err in outputs]
    return codes, printed, errors


def state_of(workdir):
    return load_state(workdir)[1]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The same run on one device, on two, and in two processes that Slurm seems to start."""
    root = tmp_path_factory.mktemp("runs")
    slurm = {"SLURM_JOB_ID": "1", "SLURM_STEP_NODELIST": "localhost", "SLURM_NTASKS": "2"}
    slurm["JAX_COORDINATOR_PORT"] = str(free_port())
    train_here(root / "two")
    codes, printed, errors = end(
        [
            start(root / "one", environment=BATCH_SCRIPT),
            *(
                start(
                    root / "processes",
                    environment=slurm | {"SLURM_PROCID": str(i), "SLURM_LOCALID": str(i)},
                )
                for i in range(2)
            ),
        ]
    )
    assert codes == [0, 0, 0], errors
    return root, printed, errors


@pytest.mark.parametrize("name", ["two", "processes"])
def test_any_devices_give_the_run_of_one(runs, name):
    root, _, _ = runs
    jax.tree.map(np.testing.assert_array_equal, state_of(root / name), state_of(root / "one"))
    ours, theirs = (json.loads((root / run / "result.json").read_text()) for run in (name, "one"))
    assert ours["accuracy"] == theirs["accuracy"]


def test_a_process_that_no_cluster_started_trains_at_once_and_without_a_message(runs):
    assert all(line.startswith(("compiling", "training", "step")) for line in runs[2][0])


def test_process_0_alone_writes_and_reports(runs):
    root, printed, errors = runs
    rows = (root / "processes" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == [50, 100, 150, 200]
    assert "accuracy (%)" in printed[1]
    assert printed[2] == ""
    assert errors[2] == []


@pytest.mark.parametrize(("name", "num_devices"), [("one", 2), ("processes", 4)])
def test_a_run_goes_on_with_other_devices(runs, tmp_path, name, num_devices):
    root, _, _ = runs
    run = shutil.copytree(root / name, tmp_path / "run")
    shutil.rmtree(run / "checkpoints" / "200")
    if num_devices == 4:
        codes, _, errors = end([start(run, num_devices=4)])
        assert codes == [0], errors
    else:
        train_here(run)
    jax.tree.map(np.testing.assert_array_equal, state_of(run), state_of(root / "one"))


def send(number, targets):
    """Sends a signal to each process, by its workdir, once there is a checkpoint."""
    targets = dict(targets)
    deadline = time.monotonic() + 240
    while targets and time.monotonic() < deadline:
        for workdir in [workdir for workdir in targets if (workdir / "checkpoints" / "5").exists()]:
            targets.pop(workdir).send_signal(number)
        time.sleep(0.01)


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """Directories of two jobs of which one process was killed, and how the other ended."""
    root = tmp_path_factory.mktemp("killed")
    jobs = [start_two(root / str(victim), SLOWLY) for victim in range(2)]
    send(signal.SIGKILL, {root / str(victim): job[victim] for victim, job in enumerate(jobs)})
    ends = [end(job) for job in jobs]
    return [
        (root / str(v), codes[1 - v], errors[1 - v]) for v, (codes, _, errors) in enumerate(ends)
    ]


@pytest.mark.parametrize("victim", [0, 1])
def test_when_a_process_is_killed_the_other_says_so_and_ends(killed, victim):
    workdir, code, errors = killed[victim]
    assert code == processes.LOST, "\n".join(errors[-3:])
    assert re.fullmatch(
        r"error: another process ended after step \d+: start the job again, which goes on from the "
        "last checkpoint",
        errors[-1],
    )
    assert not any("Traceback" in line for line in errors)
    assert not (workdir / "result.json").exists()


def test_a_job_that_is_started_again_ends_bit_for_bit_as_an_undisturbed_one(killed, runs):
    as_before, as_one_process = (workdir for workdir, _, _ in killed)
    codes, _, errors = end(start_two(as_before))
    assert codes == [0, 0], errors
    train_here(as_one_process)
    undisturbed = state_of(runs[0] / "processes")
    for workdir in (as_before, as_one_process):
        jax.tree.map(np.testing.assert_array_equal, state_of(workdir), undisturbed)


def test_a_signal_to_one_process_stops_both_at_one_step(tmp_path):
    job = start_two(tmp_path, SLOWLY | {"train.microbatches": 0})
    send(signal.SIGTERM, {tmp_path: job[1]})
    codes, _, errors = end(job)
    assert codes == [143, 143]
    step = int(state_of(tmp_path).step)
    assert [lines[-1] for lines in errors] == [
        f"stopped by SIGTERM at step {step}, state saved"
    ] * 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"second": {"train.batch_labeled": 8}},
            "process 1: process 0 has config.train.batch_labeled = 4, not 8: .*",
        ),
        ({"second": {"data.split_file": "nowhere.npz"}}, "process 1: .*nowhere.npz.*"),
        ({"num_devices": (1, 2)}, "process 1 has 2 devices and process 0 has 1: .*"),
        ({"both": {"train.batch_labeled": 3}}, "config.train.batch_labeled is 3, which 2 .*"),
        ({"both": {"train.batch_labeled": 8}}, "process 0: .* holds a run with .*batch_labeled.*"),
    ],
    ids=["another config", "data missing", "other devices", "an odd batch", "a foreign workdir"],
)
def test_what_is_wrong_with_one_process_ends_both_with_one_line(runs, tmp_path, options, message):
    run = runs[0] / "processes" if "foreign" in os.environ["PYTEST_CURRENT_TEST"] else tmp_path
    before = sorted(run.rglob("*"))
    codes, _, errors = end(start_two(run, **options))
    assert codes == [2, 2], errors
    for lines in errors:
        assert len(lines) == 1
        assert re.fullmatch(f"error: {message}", lines[0])
    assert sorted(run.rglob("*")) == before


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("host:1", 2, None), "--process_id is missing: expected all of --coordinator, "),
        ((None, 2, 0), "--coordinator is missing"),
        (("host", 2, 0), "--coordinator is 'host', expected HOST:PORT"),
        (("host:70000", 2, 0), "--coordinator is 'host:70000', expected HOST:PORT"),
        (("host:1", 0, 0), "--num_processes is 0, expected at least 1"),
        (("host:1", 2, 2), "--process_id is 2, expected 0 to 1"),
        (("host:1", 2, -1), "--process_id is -1, expected 0 to 1"),
    ],
)
def test_a_wrong_flag_is_named(flags, message):
    with pytest.raises(InputError, match=message):
        processes.initialize(*flags)


def test_a_port_that_is_in_use_is_named():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port} cannot be listened on: Address already"):
            processes.initialize(f"127.0.0.1:{port}", 2, 0)


def test_without_a_cluster_a_process_runs_alone(monkeypatch):
    def initialize(*flags, **timeouts):
        assert flags == (None, None, None)
        raise ValueError("coordinator_address should be defined.")

    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    processes.initialize()
    assert not processes.is_one_of_several()


def test_with_one_process_no_cluster_is_looked_for(monkeypatch):
    monkeypatch.setattr(jax.distributed, "initialize", None)
    processes.initialize(num_processes=1)


def test_a_cluster_that_lacks_something_is_one_line(monkeypatch):
    def initialize(*flags, **timeouts):
        raise RuntimeError("jobs must be indexed\nby setting completionMode")

    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    message = r"cannot join them .*: jobs must be indexed; expected .*--num_processes=1"
    with pytest.raises(InputError, match=message) as caught:
        processes.initialize()
    assert "\n" not in str(caught.value)
    processes._handle_abort(None)
