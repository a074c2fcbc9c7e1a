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
from flowgmm_jax.evaluation.evaluator import evaluate_run
from flowgmm_jax.training import restore

WORKDIR = flags.DEFINE_string("workdir", None, "Directory of the run.", required=True)
DATA_DIR = flags.DEFINE_string("data_dir", None, "Where the data are now; default: as in training.")
SPLIT_FILE = flags.DEFINE_string("split_file", None, "Likewise, of the labelled split's file.")
OOD = flags.DEFINE_list("ood", [], "Sets for out-of-domain detection: names, .npz files, or noise.")
COMPARE = flags.DEFINE_string("compare", None, "A second run, for distances to the boundary.")
SAVE_ARRAYS = flags.DEFINE_bool("save_arrays", False, "Write latents and samples as arrays too.")


def main() -> None:
    workdir, where = Path(WORKDIR.value), (DATA_DIR.value, SPLIT_FILE.value)
    subject, step = restore.load_subject(workdir, *where)
    other = restore.load_subject(COMPARE.value, *where)[0] if COMPARE.value else None
    command = "python " + shlex.join(sys.argv)
    metrics = evaluate_run(
        subject, step, workdir / "eval", command, OOD.value, other, SAVE_ARRAYS.value
    )
    for name, value in metrics.items():
        if isinstance(value, float):
            print(f"{name:20} {value:.6g}")
    print(f"open {workdir / 'eval' / 'report.html'}")


if __name__ == "__main__":
    cli.run(main)
