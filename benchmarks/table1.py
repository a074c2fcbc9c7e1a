"""Table 1 of the poster: every system on every data set, over several labelled sets.

    python benchmarks/table1.py --budget_minutes=60 --data_dir=DIR --splits_dir=SPLITS
    python benchmarks/table1.py --only='digits' --budget_minutes=10
    python benchmarks/table1.py --budget_minutes=0

Trains the first labelled set of every cell, then the second one, and so on, until the budget is
spent; the run that is interrupted goes on with the next call, exactly. DIR is the data directory,
SPLITS the folder of the published labelled sets, mnist_1000_0.npz and so on; without it those of
`config.data.split_seed` are taken. Results go into results/table1.json, a line each, and
results/table1.md, which is also printed. A result that is there is not made again: delete its line
and its directory in runs/table1 to run it again. The rows of scikit-learn come from
benchmarks/baselines.py.

`--scale=small` takes two steps a cell, into the directory of the runs: does everything work?
"""

import os
import re
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import record
from ml_collections import ConfigDict
from record import Result
from rich.console import Console
from rich.markdown import Markdown

from flowgmm_jax.config import load_config
from flowgmm_jax.data import tfds
from flowgmm_jax.errors import InputError
from flowgmm_jax.evaluation import poster
from flowgmm_jax.runs.signals import Stopped
from flowgmm_jax.training.trainer import train

DATASETS = {
    "digits": "digits, 100 labels",
    "mnist": "MNIST, 1,000 labels",
    "fashion_mnist": "FashionMNIST, 1,000 labels",
    "svhn_cropped": "SVHN, 1,000 labels",
    "cifar10": "CIFAR-10, 4,000 labels",
}
GPU = ("svhn_cropped", "cifar10")  # whose experiments are the published ones
CLASSIFIER = "class network by itself (FixMatch)"
# The experiment of every cell that has one.
EXPERIMENTS = {
    poster.DIGLM_SUPERVISED_ALL: {"digits": "diglm:sup", "mnist": "diglm:mnist_sup"},
    poster.SUPERVISED_ALL: {
        "digits": "digits:all",
        "mnist": "mnist_1k_fast:all",
        "fashion_mnist": "fashion_mnist_1k_fast:all",
        "svhn_cropped": "svhn_1k:all",
        "cifar10": "cifar10_4k:all",
    },
    poster.M1_M2: {"digits": "m1m2", "mnist": "m1m2:mnist"},
    poster.DIGLM: {"digits": "diglm", "mnist": "diglm:mnist"},
    poster.SUPERVISED: {
        "digits": "digits:sup",
        "mnist": "mnist_1k_fast:sup",
        "fashion_mnist": "fashion_mnist_1k_fast:sup",
        "svhn_cropped": "svhn_1k:sup",
        "cifar10": "cifar10_4k:sup",
    },
    poster.FLOWGMM: {
        "digits": "digits:ssl",
        "mnist": "mnist_1k_fast:ssl",
        "fashion_mnist": "fashion_mnist_1k_fast:ssl",
        "svhn_cropped": "svhn_1k:ssl",
        "cifar10": "cifar10_4k:ssl",
    },
    poster.CONSISTENCY: {
        "digits": "digits",
        "mnist": "mnist_1k_fast",
        "fashion_mnist": "fashion_mnist_1k_fast",
        "svhn_cropped": "svhn_1k",
        "cifar10": "cifar10_4k",
    },
    CLASSIFIER: {"digits": "digits", "mnist": "mnist_1k_fast"},
}
OVERRIDES = {
    CLASSIFIER: {"model": "classifier", "train.batch_density": 0},
}
SMALL = {"train.steps": 2, "train.steps_per_call": 2, "train.eval_every": 0}


class Run(NamedTuple):
    """One labelled set of a cell.

    Attributes:
      system, dataset: the cell.
      number: of the labelled set; of the seed if all labels are given.
      config: the experiment.
      overrides: of its fields.
    """

    system: str
    dataset: str
    number: int
    config: str
    overrides: dict[str, Any]

    @property
    def workdir(self) -> str:
        """The name of its directory."""
        system = re.sub(r"\W+", "_", self.system).strip("_").lower()
        return f"{self.dataset}_{system}_{self.number}"


def runs(splits: int, only: str = "") -> Iterator[Run]:
    """All runs, those with the first labelled set first.

    Args:
      splits: labelled sets of a cell.
      only: a regular expression that "DATASET SYSTEM" of a cell must match.
    """
    for number in range(splits):
        for dataset in DATASETS:
            for system, experiments in EXPERIMENTS.items():
                if dataset in experiments and re.search(only, f"{dataset} {system}"):
                    overrides = OVERRIDES.get(system, {})
                    yield Run(system, dataset, number, experiments[dataset], overrides)


def labelled_set(num_labels: int, dataset: str, number: int, splits_dir: str) -> dict[str, Any]:
    """The fields that choose the labelled set of a number, the seed if all labels are given."""
    if num_labels == -1:
        return {"seed": number}
    if dataset == "mnist" and splits_dir:
        return {"data.split_file": f"{splits_dir}/mnist_1000_{number}.npz"}
    return {"data.split_seed": number}


def configured(run: Run, small: bool, data_dir: str, splits_dir: str) -> tuple[Result, ConfigDict]:
    """A result without figures, and the config.

    Raises:
      InputError: for an experiment that does not exist.
    """
    overrides = run.overrides | (SMALL if small else {})
    num_labels = load_config(run.config, **overrides).data.num_labels
    chosen = labelled_set(num_labels, run.dataset, run.number, splits_dir)
    config = load_config(run.config, **overrides, **chosen, data_dir=data_dir)
    # Without the folders of this computer.
    overrides |= {
        name: Path(value).name if "file" in name else value for name, value in chosen.items()
    }
    overrides = {name: value for name, value in overrides.items() if name != "seed"}
    flags = "".join(f" --config.{name}={value}" for name, value in overrides.items())
    flags += f" --config.seed={config.seed}" if config.seed else ""
    flags += " --config.data.data_dir=DIR" if run.dataset != "digits" else ""
    result = {
        "system": run.system,
        "dataset": run.dataset,
        "split": run.number,
        "config": run.config,
        "overrides": overrides,
        "seed": config.seed,
        "command": f"python train.py --config={run.config}{flags}",
    }
    return result, config


def measured(config: ConfigDict, workdir: Path, seconds: float) -> Result:
    """The figures of a run, which is started or goes on, or why there are none.

    Args:
      seconds: after which it is stopped.
    """
    is_spent = threading.Event()

    def stop() -> None:
        is_spent.set()
        os.kill(os.getpid(), signal.SIGTERM)  # after which training saves its state: Stopped

    timer = threading.Timer(seconds, stop)
    timer.daemon = True
    handler = signal.signal(signal.SIGTERM, _stop)  # of all that is not training
    try:
        if seconds < threading.TIMEOUT_MAX:
            timer.start()
        result = train(config, workdir)
    except Stopped:
        if not is_spent.is_set():
            raise  # by a signal of somebody else
        return {"not_run": "begun when the budget was spent"}
    except FloatingPointError as error:
        return {"not_run": f"failed: {error}"}
    except InputError as error:
        return {"not_run": str(error).replace(str(workdir), workdir.name)}
    finally:
        timer.cancel()
        signal.signal(signal.SIGTERM, handler)
        jax.clear_caches()
    return result._asdict() | record.circumstances()


def _stop(number: int, frame: Any) -> None:
    raise Stopped(number, 0)


def obstacle(run: Run, small: bool, data_dir: str) -> str:
    """Why a cell cannot be run here; empty if it can."""
    if run.dataset in tfds.INFO and not (tfds.root_of(data_dir) / run.dataset).is_dir():
        return "no copy of the data in the data directory"
    if run.dataset in GPU and jax.default_backend() == "cpu" and not small:
        return "the published network and steps, for a GPU"
    return ""


# ------------------------------------------------------------------------------------- page


def page(results: Sequence[Result]) -> str:
    """results/table1.md: a function of the JSON file only."""
    reasons: list[str] = []
    systems = [*EXPERIMENTS, *(r["system"] for r in results if r["system"] not in EXPERIMENTS)]
    systems = list(dict.fromkeys(systems))
    rows = [
        [system, *(_cell(system, dataset, results, reasons) for dataset in DATASETS)]
        for system in systems
    ]
    of_poster = [system in poster.TABLE_1 for system in systems]
    header = ["system", *DATASETS.values()]
    text = (
        "# Table 1\n\n"
        "Written by `python benchmarks/table1.py` and `python benchmarks/baselines.py` with\n"
        "`results/table1.json`; do not edit. Accuracy on the test set, in percent, of the last\n"
        "step: mean ± standard deviation (how many labelled sets; time of a run), then the\n"
        "poster's.\n\n"
    )
    text += record.table(header, [row for row, of in zip(rows, of_poster, strict=True) if of])
    text += "\nOther systems with the same labels, for context:\n\n"
    text += record.table(header, [row for row, of in zip(rows, of_poster, strict=True) if not of])
    text += "".join(
        f"\n- {letter}: {reason}" for letter, reason in zip(LETTERS, reasons, strict=False)
    )
    text += "\n\n## Runs\n\n"
    names = ("system", "dataset", "split", "accuracy", "bits/dim", "time", "hardware", "commit")
    text += record.table((*names, "date", "jax", "command"), map(_run, filter(_was_run, results)))
    return text


LETTERS = "abcdefghijklmnopqrstuvwxyz"


def _was_run(result: Result) -> bool:
    return "not_run" not in result


def _cell(system: str, dataset: str, results: Sequence[Result], reasons: list[str]) -> str:
    here = [r for r in results if (r["system"], r["dataset"]) == (system, dataset)]
    done = list(filter(_was_run, here))
    printed = poster.TABLE_1.get(system, {}).get(dataset)
    beside = f"; poster {printed:.2f}" if printed else ""
    if done:
        accuracy = record.spread([r["accuracy"] for r in done], "{:.2f}")
        seconds = sum(r["seconds"] for r in done) / len(done)
        return f"{accuracy} ({len(done)}; {record.duration(seconds)}){beside}"
    if not here and not printed:
        return "-"
    reason = (
        here[0]["not_run"] if here else "there is no experiment, or it was left out with --only"
    )
    if reason not in reasons:
        reasons.append(reason)
    return f"not run: {LETTERS[reasons.index(reason)]}{beside}"


def _run(result: Result) -> list[str]:
    bits = result.get("bits_per_dim")
    return [
        result["system"],
        result["dataset"],
        str(result["split"]),
        f"{result['accuracy']:.2f}",
        "" if bits is None else f"{bits:.3f}",
        record.duration(result["seconds"]),
        result["hardware"],
        f"`{result['commit']}`",
        result["date"],
        result["versions"]["jax"],
        f"`{result['command']}`",
    ]


# ------------------------------------------------------------------------------------- main


def main(arguments: Sequence[str] | None = None) -> None:
    parser = record.parser(__doc__, 3)
    parser.add_argument("--budget_minutes", type=float, default=60)
    parser.add_argument("--scale", choices=("full", "small"), default="full")
    parser.add_argument("--workdir", type=Path, default=Path("runs/table1"))
    flags = parser.parse_args(arguments)
    small = flags.scale == "small"
    default = flags.workdir / "table1.json" if small else record.ROOT / "results/table1.json"
    output = flags.output or default
    deadline = time.monotonic() + 60 * flags.budget_minutes
    results = record.read(output)
    for run in runs(flags.splits, flags.only):
        if record.was_run(results, (run.system, run.dataset, run.number)):
            continue
        try:
            result, config = configured(run, small, flags.data_dir, flags.splits_dir)
        except InputError:
            result = dict(zip(record.FIELDS, (*run[:3], run.config, {}, 0), strict=True))
            found = {"not_run": f"there is no experiment {run.config.partition(':')[0]}"}
        else:
            left = deadline - time.monotonic()
            if reason := obstacle(run, small, flags.data_dir):
                found = {"not_run": reason}
            elif left <= 0:
                found = {"not_run": "not begun when the budget was spent"}
            else:
                print(f"{run.dataset}, {run.system}, labelled set {run.number}", flush=True)
                found = measured(config, flags.workdir / run.workdir, left)
        results = record.updated(results, result | found)
        record.write(output, results, page)
    record.write(output, results, page)
    Console().print(Markdown(output.with_suffix(".md").read_text().split("## Runs")[0]))


if __name__ == "__main__":
    record.run(main)
