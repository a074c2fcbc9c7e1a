"""Evaluates a run from its checkpoint alone.

python eval.py --workdir=DIR [--data_dir=DATA]
"""

from pathlib import Path

from absl import flags

from flowgmm_jax import cli
from flowgmm_jax.evaluation.evaluator import evaluate_run

WORKDIR = flags.DEFINE_string("workdir", None, "Directory of the run.", required=True)
DATA_DIR = flags.DEFINE_string("data_dir", None, "Where the data are now; default: as in training.")


def main(argv):
    del argv
    metrics = evaluate_run(Path(WORKDIR.value), DATA_DIR.value)
    for name, value in metrics.items():
        print(f"{name:20} {value:.6g}")


if __name__ == "__main__":
    cli.run(main)
