"""Tables with few labels: FlowGMMClassifier beside what scikit-learn has, and as an anomaly score.

    python benchmarks/tabular.py results/tabular.json [--data=DIR] [--splits=10] [NAME ...]

scikit-learn's breast_cancer and wine with 20 labels and its digits, as 64 columns, with 50. With
DIR, which holds magic.csv, letter.csv, penbased.csv and satimage.csv (features, and the column
``class``; KEEL's copies of the UCI sets), these as well. A split draws a test set, a quarter of
each class, and the labelled rows, as many of each class; every method gets the same. The other rows
are unlabelled.

Accuracy in percent. NLL (nats) and ECE of FlowGMMClassifier on the test set, before and after a
temperature that is fitted on the hidden labels of up to 1,000 unlabelled rows.

Novelty, on the first three splits: log p(x) of a second fit, with the first class left out of
training, as an anomaly score of the test set, of which the rows of that class are the anomalies
(breast_cancer: malignant tumours, after training on benign ones). AUROC, beside a GaussianMixture
of three components and an IsolationForest of the same rows.

Each result is written when it is there, and found again by the next start. It starts with all
tables' first split, so that a stop leaves some splits of all.
"""

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import record
from few_labels import Split, calibration, labelled
from sklearn import datasets
from sklearn.ensemble import HistGradientBoostingClassifier, IsolationForest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier

import flowgmm_jax as fg
from flowgmm_jax import FlowGMMClassifier
from flowgmm_jax.compilation import keep_compiled_programs
from flowgmm_jax.density import bits_per_dim
from flowgmm_jax.evaluation.calibration import scores
from flowgmm_jax.files import write_json, write_text

LABELS = {"digits": 50, "breast_cancer": 20, "wine": 20}
OF_FILES = {"magic_20": 20, "magic_200": 200, "letter": 260, "penbased": 100, "satimage": 60}
SPREAD_ROWS = 10_000  # that label spreading is given at most, since it holds a graph of them
NOVELTY_SPLITS = 3


Results = dict[str, dict[str, dict[str, float]]]  # of tables, of splits, of measures


def load(name: str, data: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """x (N, D) and classes (N,) 0..K-1 of a table."""
    if name in LABELS:
        return getattr(datasets, f"load_{name}")(return_X_y=True)
    table = pd.read_csv(data / f"{name.partition('_')[0]}.csv")
    return table.drop(columns="class").to_numpy(float), pd.factorize(table["class"], sort=True)[0]


def make_split(x: np.ndarray, hidden: np.ndarray, labels: int, seed: int) -> Split:
    """Split number ``seed``."""
    x, x_test, hidden, y_test = train_test_split(
        x, hidden, test_size=0.25, stratify=hidden, random_state=seed
    )
    y = labelled(hidden, labels, np.random.default_rng(seed))
    return Split(x, y, hidden, x_test, y_test)


def flowgmm(split: Split, seed: int) -> dict[str, float]:
    """Accuracy, calibration, density and seconds of FlowGMMClassifier."""
    started = time.monotonic()
    model = FlowGMMClassifier(random_state=seed).fit(split.x, split.y)
    posterior = model.predict_log_proba(split.x_test)
    seconds = time.monotonic() - started
    dimension = split.x.shape[1]
    return {
        "flowgmm": scores(posterior, split.y_test)["accuracy"],
        **calibration(model, split, seed),
        "bits_per_dim": float(bits_per_dim(model.score_samples(split.x_test).mean(), dimension)),
        "seconds": seconds,
    }


def rivals(split: Split, seed: int) -> dict[str, float]:
    """Accuracies of scikit-learn's classifiers on standardised columns."""
    labeled = split.y >= 0
    logistic = LogisticRegression(max_iter=1000)
    few = np.flatnonzero(labeled)
    some = np.random.default_rng(seed).permutation(np.flatnonzero(~labeled))
    some = np.concatenate([few, some[: SPREAD_ROWS - len(few)]])
    methods = {
        "logistic": (logistic, few),
        "knn": (KNeighborsClassifier(3), few),
        "boosting": (HistGradientBoostingClassifier(min_samples_leaf=5, random_state=seed), few),
        "spreading": (LabelSpreading(kernel="knn", n_neighbors=10, max_iter=100), some),
        "self_training": (SelfTrainingClassifier(logistic, threshold=0.9), np.arange(len(labeled))),
    }
    scale = StandardScaler().fit(split.x)
    x, x_test = scale.transform(split.x), scale.transform(split.x_test)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of iterations that were not enough
        return {
            name: 100.0 * method.fit(x[rows], split.y[rows]).score(x_test, split.y_test)
            for name, (method, rows) in methods.items()
        }


def novelty(split: Split, seed: int) -> dict[str, float]:
    """AUROC of log p(x) between the test rows of the first class, which no training row is of, and
    those of the other classes."""
    normal = split.hidden > 0
    x, y = split.x[normal], np.where(split.y < 0, -1, split.y - 1)[normal]
    model, params = fg.fit(x, y, progress=False, seed=seed)
    mixture = GaussianMixture(3, reg_covar=1e-2, random_state=seed)
    scores = {
        "flowgmm": np.asarray(model.log_density(params, split.x_test)),
        "gaussian_mixture": make_pipeline(StandardScaler(), mixture)
        .fit(x)
        .score_samples(split.x_test),
        "isolation_forest": IsolationForest(random_state=seed).fit(x).score_samples(split.x_test),
    }
    is_odd = split.y_test == 0
    return {f"auroc_{name}": float(roc_auc_score(is_odd, -s)) for name, s in scores.items()}


# Measures of a page: its title, the digits that are shown, and the names of the results.
TABLES = {
    "Accuracy on the test set (%)": (
        "{:.1f}",
        ("flowgmm", "logistic", "knn", "spreading", "self_training", "boosting"),
    ),
    "FlowGMM's posterior and density on the test set, and its time": (
        "{:.3f}",
        ("nll", "nll_temperature", "ece", "ece_temperature", "bits_per_dim", "seconds"),
    ),
    "AUROC of the density for rows of a class that was left out": (
        "{:.3f}",
        ("auroc_flowgmm", "auroc_gaussian_mixture", "auroc_isolation_forest"),
    ),
}


def page(results: Results) -> str:
    """The results as a page in Markdown, a row for each table."""
    text = (
        "# Tables with few labels\n\n"
        "Written by `python benchmarks/tabular.py results/tabular.json --data=DIR`, which says\n"
        "what is measured; do not edit. Mean ± standard deviation over splits (how many).\n"
    )
    for title, (form, measures) in TABLES.items():
        rows = []
        for name, runs in results.items():
            found = {m: [run[m] for run in runs.values() if m in run] for m in measures}
            counts = {len(values) for values in found.values()}
            if counts != {0}:
                cells = [record.spread(values, form) for values in found.values()]
                rows.append([name, str(max(counts)), *cells])
        text += f"\n## {title}\n\n" + record.table(("table", "splits", *measures), rows)
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--splits", type=int, default=10)
    arguments = parser.parse_intermixed_args()  # names may follow the flags
    keep_compiled_programs()
    known = LABELS | (OF_FILES if arguments.data else {})
    file = arguments.output
    results = json.loads(file.read_text()) if file.exists() else {}
    for seed in range(arguments.splits):
        for name in arguments.names or known:
            runs = results.setdefault(name, {})
            if str(seed) in runs:
                continue
            split = make_split(*load(name, arguments.data), known[name], seed)
            runs[str(seed)] = flowgmm(split, seed) | rivals(split, seed)
            if seed < NOVELTY_SPLITS:
                runs[str(seed)] |= novelty(split, seed)
            write_json(file, results)
            write_text(file.with_suffix(".md"), page(results))
            print(name, seed, {k: round(v, 3) for k, v in runs[str(seed)].items()}, flush=True)


if __name__ == "__main__":
    main()
