"""Ordinary classifiers with the labelled sets of Table 1, on raw pixels: rows for its context.

    python benchmarks/baselines.py --data_dir=DIR --splits_dir=SPLITS

Of scikit-learn. Their settings are chosen by cross-validation over the labelled examples. Those
that use unlabelled examples have at most 10,000 of them. The results go into results/table1.json
(benchmarks/table1.py).
"""

import itertools
import re
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import record
import table1
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier

from flowgmm_jax.data import datasets
from flowgmm_jax.data.base import Dataset
from flowgmm_jax.data.splits import Split, make_split

UNLABELED = 10_000
FOLDS = 5


def _logistic_regression(**settings: Any) -> BaseEstimator:
    return LogisticRegression(max_iter=300, **settings)


def _self_training(threshold: float, **settings: Any) -> BaseEstimator:
    return SelfTrainingClassifier(_logistic_regression(**settings), threshold=threshold)


def _label_spreading(**settings: Any) -> BaseEstimator:
    return LabelSpreading(kernel="knn", max_iter=100, n_jobs=1, **settings)


class Baseline(NamedTuple):
    """A classifier of scikit-learn.

    Attributes:
      make: from settings.
      settings: the values that are tried of each.
      has_unlabeled: whether it is given unlabelled examples, as label -1.
    """

    make: Any
    settings: dict[str, Sequence[Any]]
    has_unlabeled: bool


BASELINES = {
    "logistic regression": Baseline(_logistic_regression, {"C": (0.1, 1.0, 10.0)}, False),
    "k-nearest neighbours": Baseline(KNeighborsClassifier, {"n_neighbors": (1, 3, 5)}, False),
    "label spreading": Baseline(_label_spreading, {"n_neighbors": (3, 5, 10)}, True),
    "self-training": Baseline(_self_training, {"threshold": (0.75, 0.95)}, True),
}
EXPERIMENTS = {"digits": "digits", "mnist": "mnist_1k_fast"}


def pixels(x: np.ndarray, levels: int) -> np.ndarray:
    """Images as vectors float32 (N, D) in [0, 1]."""
    return x.reshape(len(x), -1).astype(np.float32) / (levels - 1)


def fitted(baseline: Baseline, settings: dict, x: np.ndarray, y: np.ndarray, x_unlabeled):
    """A classifier, given labelled examples and, if it takes them, unlabelled ones."""
    if baseline.has_unlabeled:
        x = np.concatenate([x, x_unlabeled])
        y = np.concatenate([y, np.full(len(x_unlabeled), -1)])
    return baseline.make(**settings).fit(x, y)


def best_settings(
    baseline: Baseline, x: np.ndarray, y: np.ndarray, x_unlabeled: np.ndarray
) -> dict[str, Any]:
    """The settings of the highest accuracy in cross-validation over the labelled examples."""
    tried = [
        dict(zip(baseline.settings, values, strict=True))
        for values in itertools.product(*baseline.settings.values())
    ]
    if len(tried) == 1:
        return tried[0]
    folds = list(StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(x, y))

    def accuracy(settings):
        scores = [
            fitted(baseline, settings, x[fit], y[fit], x_unlabeled).score(x[out], y[out])
            for fit, out in folds
        ]
        return np.mean(scores)

    return max(tried, key=accuracy)


def measured(baseline: Baseline, dataset: Dataset, split: Split) -> dict[str, Any]:
    """Test accuracy in percent, seconds, and the settings that were chosen."""
    started = time.monotonic()
    x, x_test = (pixels(a, dataset.info.levels) for a in (dataset.x_train, dataset.x_test))
    x_labeled, y = x[split.labeled], dataset.y_train[split.labeled]
    x_unlabeled = x[np.random.default_rng(0).permutation(split.unlabeled)[:UNLABELED]]
    settings = best_settings(baseline, x_labeled, y, x_unlabeled)
    found = fitted(baseline, settings, x_labeled, y, x_unlabeled)
    return {
        "accuracy": 100.0 * float(found.score(x_test, dataset.y_test)),
        "seconds": round(time.monotonic() - started, 1),
        "settings": settings,
        "num_unlabeled": len(x_unlabeled) if baseline.has_unlabeled else 0,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = record.parser(__doc__, 5)
    flags = parser.parse_args(arguments)
    output = flags.output or record.ROOT / "results/table1.json"
    results = record.read(output)
    for name, number in itertools.product(EXPERIMENTS, range(flags.splits)):
        wanted = [
            system
            for system in BASELINES
            if re.search(flags.only, f"{name} {system}")
            and not record.was_run(results, (system, name, number))
        ]
        if not wanted:
            continue
        run = table1.Run("", name, number, EXPERIMENTS[name], {})
        result, config = table1.configured(run, False, flags.data_dir, flags.splits_dir)
        dataset = datasets.load(config.data)
        split = make_split(dataset, config.data)
        for system in wanted:
            found = measured(BASELINES[system], dataset, split)
            print(f"{name}, {system}, labelled set {number}: {found}", flush=True)
            command = f"python benchmarks/baselines.py --only='{name} {system}'"
            new = result | {"system": system, "command": command} | found | record.circumstances()
            results = record.updated(results, new)
            record.write(output, results, table1.page)


if __name__ == "__main__":
    record.run(main)
