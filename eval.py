"""Evaluates a run from its checkpoint: DIR/eval/report.html, figures and metrics.json.

python eval.py --workdir=DIR [--data_dir=DATA] [--split_file=FILE] [--ood=NAME,...] [--compare=DIR]
               [--save_arrays]
"""

import os
import shlex
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from absl import flags

from flowgmm_jax import cli
from flowgmm_jax.errors import InputError
from flowgmm_jax.evaluation.evaluator import evaluate

WORKDIR = flags.DEFINE_string("workdir", None, "Directory of the run.", required=True)
DATA_DIR = flags.DEFINE_string("data_dir", None, "Where the data are now; default: as in training.")
SPLIT_FILE = flags.DEFINE_string("split_file", None, "Likewise, of the labelled split's file.")
OOD = flags.DEFINE_list("ood", [], "Sets for out-of-domain detection: names, .npz files, or noise.")
COMPARE = flags.DEFINE_string("compare", None, "A second run, for distances to the boundary.")
SAVE_ARRAYS = flags.DEFINE_bool("save_arrays", False, "Write latents and samples as arrays too.")


def main(overrides: cli.Overrides) -> None:
    if overrides:
        raise InputError(f"--config.{overrides[0][0]} is a flag of train.py: a run has its config")
    metrics = evaluate(
        WORKDIR.value,
        data_dir=DATA_DIR.value,
        split_file=SPLIT_FILE.value,
        ood=OOD.value,
        compare=COMPARE.value,
        save_arrays=SAVE_ARRAYS.value,
        command="python " + shlex.join(sys.argv),
    )
    for name, value in metrics.items():
        if isinstance(value, float):
            print(f"{name:20} {value:.6g}")
    print(f"open {Path(WORKDIR.value) / 'eval' / 'report.html'}")


if __name__ == "__main__":
    cli.run(main)
