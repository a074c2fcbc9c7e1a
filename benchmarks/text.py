"""Texts with few labels: FlowGMM on sentence embeddings beside what scikit-learn has.

    python -m flowgmm_jax.data.text ag_news dev.tsv test.tsv
    python benchmarks/text.py results/text.json ag_news [--labels=200] [--splits=3]

The folder holds embeddings of 10,001 texts of AG-News' training set and of its 7,600 test texts, in
four classes. A split draws as many labelled texts of each class; the other 9,801 are unlabelled,
and every method gets the same. What a method needs to be told is chosen first, on splits of their
own (``TUNING``): by the accuracy on 2,000 training texts that no method sees. The test texts are
looked at once, with what was chosen.

Accuracy in percent; NLL (nats) and ECE of FlowGMM on the test texts, before and after a temperature
fitted on 1,000 unlabelled texts, whose labels it sees (``few_labels``). The paper has 82.1 for 200
labels, with BERT features and 120,000 unlabelled texts.

Each result is written when it is there, and found again by the next start.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from few_labels import Split, calibration, labelled
from rich.console import Console
from rich.table import Table
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.semi_supervised import LabelSpreading

from flowgmm_jax import FlowGMMClassifier
from flowgmm_jax.compilation import keep_compiled_programs
from flowgmm_jax.files import write_json

TUNING = (100, 101)  # splits on which settings are chosen
HELD_OUT = 2000
SCALES = {"standardised": StandardScaler, "length 1": Normalizer}


def load(folder: Path) -> Split:
    """All labels known."""
    x, x_test = (np.load(folder / f"x_{part}.npy") for part in ("train", "test"))
    words = {part: np.load(folder / f"y_{part}.npy") for part in ("train", "test")}
    names = np.unique(words["train"])
    y, y_test = (np.searchsorted(names, words[part]) for part in ("train", "test"))
    return Split(x, y, y, x_test, y_test)


def make_split(data: Split, labels: int, seed: int) -> Split:
    """As many labels of each class; for a split of ``TUNING`` the test set is training texts."""
    rng = np.random.default_rng(seed)
    y = labelled(data.hidden, labels, rng)
    data = data._replace(y=y)
    if seed not in TUNING:
        return data
    out = rng.permutation(np.flatnonzero(y < 0))[:HELD_OUT]
    kept = np.setdiff1d(np.arange(len(y)), out)
    return Split(data.x[kept], y[kept], data.hidden[kept], data.x[out], data.hidden[out])


def flow(seed: int, **overrides: Any) -> FlowGMMClassifier:
    return FlowGMMClassifier(random_state=seed, overrides=overrides)


def on_labels(classifier: Any) -> Callable[[Split], Any]:
    """Fits to the labelled rows only."""
    return lambda split: classifier.fit(split.x[split.y >= 0], split.y[split.y >= 0])


def on_all(classifier: Any) -> Callable[[Split], Any]:
    return lambda split: classifier.fit(split.x, split.y)


def methods(seed: int) -> dict[str, dict[str, Callable[[Split], Any]]]:
    """Methods, and for each its settings by name, of which one is chosen."""
    found: dict[str, dict[str, Callable[[Split], Any]]] = {
        "flowgmm": {
            name: on_all(flow(seed, **overrides)) for name, overrides in FLOW_SETTINGS.items()
        }
    }
    for scale, scaler in SCALES.items():
        for c in (1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0):
            logistic = make_pipeline(scaler(), LogisticRegression(C=c, max_iter=1000))
            found.setdefault("logistic", {})[f"{scale}, C={c:g}"] = on_labels(logistic)
        for k in (1, 3, 5, 10, 20):
            neighbours = make_pipeline(scaler(), KNeighborsClassifier(k))
            found.setdefault("knn", {})[f"{scale}, k={k}"] = on_labels(neighbours)
        for k in (5, 10, 20, 50):
            for alpha in (0.2, 0.8, 0.99):
                spreading = LabelSpreading(kernel="knn", n_neighbors=k, alpha=alpha, max_iter=100)
                found.setdefault("spreading", {})[f"{scale}, k={k}, alpha={alpha:g}"] = on_all(
                    make_pipeline(scaler(), spreading)
                )
    return found


FLOW_SETTINGS: dict[str, dict[str, Any]] = {
    "fit's default": {},
    "small": {"flow.steps": 2, "flow.hidden": (64,)},
    "small, more noise": {"flow.steps": 2, "flow.hidden": (64,), "augment.jitter": (1.0, 0.0)},
}


def accuracy(model: Any, split: Split) -> float:
    """Percent, on the split's test set."""
    return 100.0 * float((model.predict(split.x_test) == split.y_test).mean())


def print_tables(results: dict[str, Any]) -> None:
    """Settings and their accuracy on held-out training texts; then the test texts."""
    console = Console(width=120)
    chosen = Table("method", "setting", "held out", title="Chosen on training texts")
    for method, of_settings in results["tuning"].items():
        name = best(of_settings)
        chosen.add_row(method, name, f"{statistics.mean(of_settings[name].values()):.2f}")
    console.print(chosen)
    measures = list(dict.fromkeys(name for run in results["test"].values() for name in run))
    test = Table("measure", f"{len(results['test'])} splits", title="Test texts")
    for name in measures:
        values = [run[name] for run in results["test"].values()]
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        test.add_row(name, f"{statistics.mean(values):.4g} ± {spread:.2g}")
    console.print(test)


def best(of_settings: dict[str, dict[str, float]]) -> str:
    """The setting of the best mean accuracy."""
    return max(of_settings, key=lambda name: statistics.mean(of_settings[name].values()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--labels", type=int, default=200)
    parser.add_argument("--splits", type=int, default=3)
    arguments = parser.parse_args()
    keep_compiled_programs()
    data, file = load(arguments.folder), arguments.output
    results = json.loads(file.read_text()) if file.exists() else {"tuning": {}, "test": {}}
    for seed in TUNING:
        split = make_split(data, arguments.labels, seed)
        for method, settings in methods(seed).items():
            for name, fit in settings.items():
                runs = results["tuning"].setdefault(method, {}).setdefault(name, {})
                if str(seed) not in runs:
                    runs[str(seed)] = accuracy(fit(split), split)
                    write_json(file, results)
                    print(seed, method, name, f"{runs[str(seed)]:.2f}", flush=True)
    for seed in range(arguments.splits):
        if str(seed) in results["test"]:
            continue
        split, run = make_split(data, arguments.labels, seed), {}
        for method, settings in methods(seed).items():
            fit = settings[best(results["tuning"][method])]
            started = time.monotonic()
            model = fit(split)
            run[method] = accuracy(model, split)
            if method == "flowgmm":
                run["seconds"] = time.monotonic() - started
                run |= calibration(model, split, seed)
        results["test"][str(seed)] = run
        write_json(file, results)
        print(seed, {name: round(value, 3) for name, value in run.items()}, flush=True)
    print_tables(results)


if __name__ == "__main__":
    main()
