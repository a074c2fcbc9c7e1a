"""A list of jobs for a short stay on a machine: commands, and configs to train.

A job has a name and either the arguments of a command of Python, or a config and overrides of its
fields to train, and ``minutes``, the most that it may take of the budget. A file of jobs is JSON,
``{"jobs": [...]}``.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from flowgmm_jax.config import load_config
from flowgmm_jax.data import tfds
from flowgmm_jax.errors import InputError
from flowgmm_jax.files import read_json

# Tests of what is computed in another way, or rounded in another way, on another device.
DEVICE_TESTS = (
    "tests/flows",
    "tests/test_density.py",
    "tests/test_gmm.py",
    "tests/test_losses.py",
    "tests/data/test_augment.py",
    "tests/training/test_step.py",
    "tests/training/test_streaming.py",
)
# Of the unfinished trainings, the ones for the rest of the time last.
JOBS = (
    {"name": "tests", "command": ["-m", "pytest", "-q", "-n", "auto", *DEVICE_TESTS], "minutes": 3},
    {
        "name": "accelerator",
        "command": ["benchmarks/accelerator.py", "--json=runs/offline/accelerator.json"],
        "minutes": 4,
    },
    # 99.05 +- 0.07% after an hour of one core: results/mnist_1k_fast_cpu.md.
    {
        "name": "mnist_1k",
        "config": "mnist_1k_fast:glow",
        "overrides": {"train.steps": 10000},
        "minutes": 4,
    },
    {"name": "cifar10_4k", "config": "cifar10_4k"},
)


class Job(NamedTuple):
    """An entry of the list.

    Attributes:
      name: of its directory and its result.
      command: arguments of Python; empty for a training.
      config: of a training, as ``load_config`` takes it.
      overrides: of its fields.
      minutes: the most it may take.
    """

    name: str
    command: Sequence[str] = ()
    config: str = ""
    overrides: dict[str, Any] = {}  # noqa: RUF012 (never changed)
    minutes: float = float("inf")


def make_jobs(entries: Iterable[dict], source: str) -> list[Job]:
    """The jobs of a list, which ``source`` names in messages.

    Raises:
      InputError: for an entry that is no job, and for a config or field that does not exist.
    """
    jobs = []
    for number, entry in enumerate(entries):
        if unknown := sorted(set(entry) - set(Job._fields)):
            raise InputError(
                f"{source}: job {number} has {unknown[0]!r}: expected {', '.join(Job._fields)}"
            )
        if "name" not in entry or bool(entry.get("command")) == bool(entry.get("config")):
            raise InputError(f"{source}: job {number}: expected a name and a command or a config")
        jobs.append(Job(**entry))
        if jobs[-1].config:
            load_config(jobs[-1].config, **jobs[-1].overrides)
    return jobs


def read_jobs(path: Path | None) -> list[Job]:
    """The jobs of a file; ``JOBS`` without one."""
    return make_jobs(read_json(path).get("jobs", ()), str(path)) if path else make_jobs(JOBS, "")


def prepared_set(job: Job) -> str:
    """The prepared data set that a job needs; empty if it needs none."""
    name = load_config(job.config, **job.overrides).data.name if job.config else ""
    return name if name in tfds.INFO else ""
