"""Evaluates a run from its checkpoint: DIR/eval/report.html, figures and metrics.json.

python eval.py --workdir=DIR [--data_dir=DATA] [--ood=NAME,...] [--compare=DIR] [--save_arrays]
"""

import os
import shlex
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from absl import flags

from flowgmm_jax import cli
from flowgmm_jax.data import datasets
from flowgmm_jax.data.splits import make_split
from flowgmm_jax.errors import InputError
from flowgmm_jax.evaluation.evaluator import evaluate_run
from flowgmm_jax.evaluation.section import Subject
from flowgmm_jax.training import inputs, restore

WORKDIR = flags.DEFINE_string("workdir", None, "Directory of the run.", required=True)
DATA_DIR = flags.DEFINE_string("data_dir", None, "Where the data are now; default: as in training.")
SPLIT_FILE = flags.DEFINE_string("split_file", None, "Likewise, of the labelled split's file.")
OOD = flags.DEFINE_list("ood", [], "Sets for out-of-domain detection: names, .npz files, or noise.")
COMPARE = flags.DEFINE_string("compare", None, "A second run, for distances to the boundary.")
SAVE_ARRAYS = flags.DEFINE_bool("save_arrays", False, "Write latents and samples as arrays too.")


def load_subject(workdir: Path) -> tuple[Subject, int]:
    """The model and the data of a run, and the step of its checkpoint."""
    config = restore.load_config(workdir)
    model, state = restore.load_state(workdir)
    if DATA_DIR.value is not None:
        config.data.data_dir = DATA_DIR.value
    if SPLIT_FILE.value is not None and config.data.split_file:
        config.data.split_file = SPLIT_FILE.value
    dataset = datasets.load(config.data)
    split = make_split(dataset, config.data)
    if inputs.fingerprint(dataset, split) != config.data.fingerprint:
        raise InputError(
            f"{workdir} was trained on other data than those of {config.data.name} "
            f"{config.data.data_dir}: expected the same examples and labelled split, see "
            "--data_dir and --split_file"
        )
    name = workdir.resolve().name
    return Subject(name, model, state.ema_params, config, dataset, split), int(state.step)


def main() -> None:
    workdir = Path(WORKDIR.value)
    subject, step = load_subject(workdir)
    other = load_subject(Path(COMPARE.value))[0] if COMPARE.value else None
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
