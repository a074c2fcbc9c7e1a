"""Trains a model.

python train.py [--config=configs/NAME.py] [--workdir=DIR] [--config.FIELD=VALUE ...]

docs/clusters.md says how to run it as several processes.
"""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from absl import flags
from ml_collections import config_flags

from flowgmm_jax import cli
from flowgmm_jax.runs import processes
from flowgmm_jax.runs.log import print_result
from flowgmm_jax.training.trainer import train_and_evaluate

DEFAULT = str(Path(__file__).parent / "configs" / "digits.py")
CONFIG = cli.config_flag(DEFAULT)
WORKDIR = flags.DEFINE_string("workdir", None, "Directory of the run; default: runs/NAME.")
COORDINATOR = flags.DEFINE_string("coordinator", None, "HOST:PORT of process 0 of several.")
NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "How many processes; 1: no cluster.")
PROCESS_ID = flags.DEFINE_integer("process_id", None, "Number of this process, from 0.")


def main() -> None:
    processes.initialize(COORDINATOR.value, NUM_PROCESSES.value, PROCESS_ID.value)
    name = cli.name_of(config_flags.get_config_filename(flags.FLAGS["config"]))
    workdir = Path(WORKDIR.value or Path("runs") / name)
    result = train_and_evaluate(CONFIG.value, workdir)
    if processes.is_primary():
        poster = CONFIG.value.poster
        published = (poster.row, poster.accuracy) if poster.accuracy else None
        print_result(name, workdir, result, published)


if __name__ == "__main__":
    cli.run(main)
