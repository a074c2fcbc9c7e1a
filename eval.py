"""Evaluates a run from its checkpoint alone.

python eval.py --workdir=DIR [--data_dir=DATA]
"""

from pathlib import Path

from absl import flags

from flowgmm_jax import cli
from flowgmm_jax.evaluation.evaluator import evaluate_run
from flowgmm_jax.training import restore

WORKDIR = flags.DEFINE_string("workdir", None, "Directory of the run.", required=True)
DATA_DIR = flags.DEFINE_string("data_dir", None, "Where the data are now; default: as in training.")


def main() -> None:
    workdir = Path(WORKDIR.value)
    config = restore.load_config(workdir)
    if DATA_DIR.value is not None:
        config.data.data_dir = DATA_DIR.value
    model, params = restore.load(workdir)
    for name, value in evaluate_run(model, params, config, workdir / "eval").items():
        print(f"{name:20} {value:.6g}")
    print(f"written to {workdir / 'eval'}")


if __name__ == "__main__":
    cli.run(main)
