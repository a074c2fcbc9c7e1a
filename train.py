"""Trains a model.

python train.py [--config=NAME] [--workdir=DIR] [--config.FIELD=VALUE ...] [--print_config]

NAME is an experiment of configs/, such as mnist_1k:ssl, or a file of your own, FILE.py. The
documentation says how to run it as several processes (docs/clusters.md).
"""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import jax
from absl import flags
from ml_collections import ConfigDict

from flowgmm_jax import cli, devices
from flowgmm_jax.config import run_name
from flowgmm_jax.evaluation import poster
from flowgmm_jax.runs import processes
from flowgmm_jax.runs.log import print_result
from flowgmm_jax.training.trainer import train

CONFIG = flags.DEFINE_string("config", "digits", "The experiment: NAME[:VARIANT] or FILE.py.")
PRINT_CONFIG = flags.DEFINE_bool("print_config", False, "Print the config and do nothing else.")
WORKDIR = flags.DEFINE_string("workdir", None, "Directory of the run; default: runs/NAME.")
COORDINATOR = flags.DEFINE_string("coordinator", None, "HOST:PORT of process 0 of several.")
NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "How many processes; 1: no cluster.")
PROCESS_ID = flags.DEFINE_integer("process_id", None, "Number of this process, from 0.")


def use_cores(config: ConfigDict) -> None:
    """A device for every core; one line says how many, if it is the CPU that trains."""
    batch_sizes = (config.batch_labeled, config.batch_unlabeled, config.batch_density)
    devices.use_all_cores(batch_sizes, config.microbatches)
    if jax.default_backend() == "cpu":
        print(f"CPU devices: {jax.device_count()} (JAX_NUM_CPU_DEVICES sets another number)")


def main(overrides: cli.Overrides) -> None:
    resolved = cli.resolve(CONFIG.value, overrides)
    if PRINT_CONFIG.value:
        cli.print_config(resolved)
        return
    processes.initialize(COORDINATOR.value, NUM_PROCESSES.value, PROCESS_ID.value)
    if not processes.is_one_of_several():
        use_cores(resolved.config.train)
    name = run_name(CONFIG.value)
    workdir = Path(WORKDIR.value or Path("runs") / name)
    result = train(resolved.config, workdir)
    if processes.is_primary():
        print_result(name, workdir, result, poster.table_1(resolved.config))


if __name__ == "__main__":
    cli.run(main)
