"""Telling other data from the model's own (poster, Figure 3)."""

import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from ml_collections import ConfigDict
from scipy.stats import rankdata
from sklearn import metrics
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from flowgmm_jax.data import datasets, tfds
from flowgmm_jax.errors import InputError
from flowgmm_jax.evaluation.complexity import code_length
from flowgmm_jax.evaluation.section import (
    NEUTRAL,
    UNLABELED,
    Picture,
    Row,
    Section,
    Subject,
    panels,
)
from flowgmm_jax.evaluation.statistics import Measure, Statistics

TRAINING_EXAMPLES = 5000
ENOUGH_VALIDATION = 200  # for a density
BINS = 80
COMPONENTS = (1, 2, 4, 8, 16, 32)
COLORS = ("#e45756", "#54a24b", "#f58518", "#b279a2", "#9d755d", "#72b7b2")  # of the sets


# ------------------------------------------------------------------------------ how well


def detection(inside: np.ndarray, outside: np.ndarray) -> dict[str, float]:
    """How well a score tells out-of-domain examples, the positive class, from in-domain ones.

    Args:
      inside: (N,), scores of in-domain examples, higher: more out-of-domain. A score that is not a
        number counts as the highest: the model has no likelihood for such an example.
      outside: (M,), of out-of-domain examples.

    Returns:
      ``auroc``, the probability that an out-of-domain example has the higher score, ties counting
      half; ``aupr``, the average precision, which is M / (N + M) by chance; ``fpr95``, the share of
      in-domain examples that are flagged by the highest threshold that flags at least 95% of the
      out-of-domain ones.
    """
    label = np.repeat([0, 1], [len(inside), len(outside)])
    # Ranks say all, and are finite where a likelihood is not.
    rank = rankdata(np.nan_to_num(np.concatenate([inside, outside]), nan=np.inf, posinf=np.inf))
    false, true, _ = metrics.roc_curve(label, rank, drop_intermediate=False)
    return {
        "auroc": float(metrics.roc_auc_score(label, rank)),
        "aupr": float(metrics.average_precision_score(label, rank)),
        "fpr95": float(false[np.argmax(true >= 0.95)]),
    }


# -------------------------------------------------------------------------------- scores


class Examples(NamedTuple):
    """What the scores look at: statistics of N examples, and for images the code lengths (N,)."""

    statistics: Statistics
    code_length: np.ndarray | None


def likelihood(statistics: Statistics) -> np.ndarray:
    """-log p(x), (N,), in nats: the poster's score."""
    return -statistics.log_density


def typicality(statistics: Statistics, training: Statistics) -> np.ndarray:
    """|log p(x) - mean over training examples|, (N,), in nats: a typical example is as likely as
    they are, not likelier (Nalisnick et al. 2019, https://arxiv.org/abs/1906.02994, eq. 5)."""
    usual = training.log_density[np.isfinite(training.log_density)].mean()
    return np.abs(statistics.log_density - usual)


def complexity(statistics: Statistics, code_length: np.ndarray) -> np.ndarray:
    """-log p(x) - code length, (N,), in nats: what the model needs beyond a code that knows no
    data; simple images are likely under any model (Serra et al. 2020,
    https://arxiv.org/abs/1909.11480, eq. 1)."""
    return -statistics.log_density - code_length


def states(examples: Examples, with_complexity: bool = False) -> np.ndarray:
    """What the density of states is a density of, float64 (N, F): log p(z), the log-determinant,
    the log-odds of the two likeliest classes, and on demand the code length.

    log p(x) is the sum of the first two and would add nothing. Odds and lengths are positive and
    range over orders of magnitude, hence their logarithms.
    """
    statistics, length = examples
    columns = [statistics.log_prior, statistics.log_det]
    if statistics.joint.shape[-1] > 1:
        second, first = np.sort(statistics.joint, axis=-1)[:, -2:].T
        columns.append(np.log1p(first - second))
    if with_complexity:
        columns.append(np.log(length))
    return np.stack(columns, axis=-1).astype(np.float64)


def fit_density_of_states(training: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The score -log q(states), q the density of training examples' states: too likely is as odd as
    too unlikely (Morningstar et al. 2021, https://arxiv.org/abs/2006.09273).

    q is a Gaussian mixture over whitened states. Its number of components is the one of
    ``COMPONENTS`` under which held-out training examples are likeliest, in five folds: nothing
    out-of-domain is looked at. By the same measure it beat kernel densities on MNIST and
    FashionMNIST.

    Args:
      training: states (N, F) of training examples, better such as the model was not trained on.

    Returns:
      states (M, F) -> (M,), in nats; infinite where a state is not finite.
    """
    training = training[np.isfinite(training).all(axis=-1)]
    mixture = GaussianMixture(init_params="k-means++", reg_covar=1e-4, max_iter=500, random_state=0)
    pipeline = make_pipeline(StandardScaler(), PCA(whiten=True), mixture)
    enough = [n for n in COMPONENTS if n == 1 or 20 * n <= len(training)]
    search = GridSearchCV(pipeline, {"gaussianmixture__n_components": enough})
    # Threads that wait for each other in small matrix products take most of the time.
    with threadpool_limits(1):
        search.fit(training)

    def score(found):
        finite = np.isfinite(found).all(axis=-1)
        surprise = np.full(len(found), np.inf)
        if finite.any():
            surprise[finite] = -search.best_estimator_.score_samples(found[finite])
        return surprise

    return score


def make_scores(training: Examples) -> Callable[[Examples], dict[str, np.ndarray]]:
    """Every score that fits the data by its name, fitted on training examples alone."""
    is_image = training.code_length is not None
    density = fit_density_of_states(states(training))
    if is_image:
        density_with_complexity = fit_density_of_states(states(training, with_complexity=True))

    def scores(examples):
        statistics, length = examples
        found = {
            "likelihood": likelihood(statistics),
            "typicality": typicality(statistics, training.statistics),
            "density of states": density(states(examples)),
        }
        if is_image:
            found["complexity"] = complexity(statistics, length)
            found["states and complexity"] = density_with_complexity(states(examples, True))
        return found

    return scores


# ------------------------------------------------------------------------- out-of-domain sets


def _noise(x: np.ndarray, levels: int, rng: np.random.Generator) -> np.ndarray:
    """Uniform grey levels; for vectors, uniform in the bounding box."""
    if levels:
        return rng.integers(0, levels, x.shape, np.uint8)
    return rng.uniform(x.min(0), x.max(0), x.shape).astype(np.float32)


def _shuffled(x: np.ndarray, levels: int, rng: np.random.Generator) -> np.ndarray:
    """The pixels of every image in an order of its own; for vectors, every dimension's values
    exchanged among the examples."""
    if not levels:
        return rng.permuted(x, axis=0)
    pixels = x.reshape(len(x), -1, x.shape[-1])
    order = rng.permuted(np.tile(np.arange(pixels.shape[1]), (len(x), 1)), axis=1)
    return np.take_along_axis(pixels, order[..., None], axis=1).reshape(x.shape)


def _inverted(x: np.ndarray, levels: int, rng: np.random.Generator) -> np.ndarray:
    """Black for white."""
    return (levels - 1 - x).astype(np.uint8)


IMAGE_SYNTHETIC = {"noise": _noise, "shuffled": _shuffled, "inverted": _inverted}
VECTOR_SYNTHETIC = {"noise": _noise, "shuffled": _shuffled}


def _read_npz(name: str, levels: int) -> np.ndarray:
    try:
        with np.load(Path(name).expanduser(), allow_pickle=False) as arrays:
            x = arrays["x_test"] if "x_test" in arrays else arrays["x"]
    except Exception as error:  # a damaged archive can raise almost anything
        raise InputError(
            f"out-of-domain set {name!r}: expected a .npz file with x_test or x ({error})"
        ) from error
    if not levels and np.issubdtype(x.dtype, np.floating):
        return x.astype(np.float32)
    return x[..., None] if levels and x.ndim == 3 else x


def _load(name: str, subject: Subject) -> np.ndarray:
    data, info = subject.config.data, subject.dataset.info
    synthetic = IMAGE_SYNTHETIC if info.levels else VECTOR_SYNTHETIC
    stored = [source for source in datasets.SOURCES if source not in ("npz", "folder")]
    if name in synthetic:
        return synthetic[name](subject.dataset.x_test, info.levels, np.random.default_rng(0))
    if name.endswith(".npz"):
        x = _read_npz(name, info.levels)
    elif name in stored:
        # The folder of the run holds other sets too where it is one of tensorflow-datasets.
        data_dir = data.data_dir if data.name in tfds.INFO else ""
        source = ConfigDict({"name": name, "data_dir": data_dir, "split_seed": 0})
        x, _ = datasets.load_test(source)
    else:
        raise InputError(
            f"out-of-domain set {name!r} is unknown; expected a .npz file or one of "
            f"{', '.join([*synthetic, *stored])}"
        )
    dtype = np.dtype(np.uint8 if info.levels else np.float32)
    if x.shape[1:] != info.shape or x.dtype != dtype or not len(x):
        expected = ", ".join(map(str, info.shape))
        raise InputError(
            f"out-of-domain set {name!r} is {x.dtype} {x.shape}; the model takes {dtype} "
            f"(N, {expected})"
        )
    if info.levels and x.max() >= info.levels:
        raise InputError(
            f"out-of-domain set {name!r} has grey level {x.max()}; the model takes "
            f"0..{info.levels - 1}"
        )
    return x


def load(names: Sequence[str], subject: Subject) -> dict[str, np.ndarray]:
    """Out-of-domain sets for a model, by their names.

    Args:
      names: of data sets of ``data.datasets``, whose test examples are taken; paths of .npz files
        with ``x_test`` or ``x``; or sets made of the model's own test examples: "noise" (uniform),
        "shuffled" (pixels, or values of a dimension) and for images "inverted".
      subject: what is evaluated; its data directory is where sets of tensorflow-datasets are.

    Returns:
      examples as the model takes them by name; of a path, by the name of the file.

    Raises:
      InputError: for an unknown name, two sets of one name, a file that cannot be read, or examples
        of another kind than the model's.
      FileNotFoundError: for a data set that is not there.
    """
    sets = {}
    for name in names:
        label = Path(name).stem if name.endswith(".npz") else name
        if label in sets:
            raise InputError(f"--ood names two sets {label!r}: expected different names")
        sets[label] = _load(name, subject)
    return sets


# ------------------------------------------------------------------------------- figures


def plot_likelihoods(inside: dict[str, np.ndarray], outside: dict[str, np.ndarray]) -> Figure:
    """Histograms of log p(x) in nats (poster, Figure 3).

    The axis spans all sets, as far as they are not many times the first one's width away; what lies
    beyond is in the outermost bins, which may be cut at the top.

    Args:
      inside: log p(x) of test and of training examples by their names, in this order.
      outside: of other sets.
    """

    def spread(values):
        finite = values[np.isfinite(values)]
        return np.quantile(finite, [0.002, 0.998]) if len(finite) else np.array([np.nan, np.nan])

    (low, high), *_ = limits = np.array([spread(v) for v in (inside | outside).values()])
    reach = 2 * (high - low)
    lowest, highest = np.nanmin(limits), np.nanmax(limits)
    edges = np.linspace(max(lowest, low - reach), min(highest, high + reach), BINS + 1)
    figure, ((axes,),) = panels(1, 1, width=7, height=3.6)
    tallest = 0

    def draw(name, values, color, **style):
        nonlocal tallest
        values = np.nan_to_num(values, nan=-np.inf, posinf=np.inf, neginf=-np.inf)
        count, _ = np.histogram(values.clip(edges[0], edges[-1]), edges)
        share = count / len(values)
        tallest = max(tallest, share[1:-1].max())
        axes.stairs(share, edges, label=name, color=color, **style)

    for number, (name, values) in enumerate((inside | outside).items()):
        if number == 1:
            draw(name, values, NEUTRAL, linestyle="dashed")
            continue
        color = UNLABELED if number == 0 else COLORS[(number - 2) % len(COLORS)]
        draw(name, values, color, fill=True, alpha=0.4)
        draw(None, values, color)
    axes.set(xlabel="log p(x), nats", ylabel="share of examples")
    axes.set(xlim=(edges[0], edges[-1]), ylim=(0, 1.1 * tallest))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize="small")
    return figure


def plot_scores(auroc: np.ndarray, sets: Sequence[str], scores: Sequence[str]) -> Figure:
    """AUROC (len(sets), len(scores)) as a table in colour: red where a score fails."""
    height = 0.45 * len(sets) + 0.7
    figure, ((axes,),) = panels(1, 1, width=1.3 * len(scores) + 1.8, height=height)
    axes.imshow(auroc, cmap="RdBu", vmin=-0.2, vmax=1.2, aspect="auto")
    for row, column in np.ndindex(auroc.shape):
        axes.text(column, row, f"{auroc[row, column]:.3f}", ha="center", va="center")
    axes.set_xticks(range(len(scores)), [textwrap.fill(score, 12) for score in scores])
    axes.set_yticks(range(len(sets)), sets)
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    return figure


# ---------------------------------------------------------------------------------- part


def _training_sample(subject: Subject) -> tuple[np.ndarray, str]:
    """Indices of the training examples that scores are fitted on, and what they are."""
    split = subject.split
    if len(split.validation) >= ENOUGH_VALIDATION:
        index, description = split.validation, "held-out training examples"
    else:
        index = np.union1d(split.labeled, split.unlabeled)
        description = "training examples"
    number = min(TRAINING_EXAMPLES, len(index))
    return np.sort(np.random.default_rng(0).choice(index, number, replace=False)), description


def _verdict(trained_on: str, name: str, found: dict[str, dict[str, float]]) -> str:
    """A sentence on one set: does the raw likelihood fail, and which score is best."""
    raw = found["likelihood"]["auroc"]
    best = max(found, key=lambda score: round(found[score]["auroc"], 3))
    highest = found[best]["auroc"]
    if raw < 0.5:
        known = (trained_on, name) == ("fashion_mnist", "mnist")
        sentence = f"The likelihood fails on {name} (AUROC {raw:.3f}: likelier than the test set"
        sentence += ", as on the poster)" if known else ")"
        if highest <= 0.5:
            return sentence + ", and so does every other score."
        return sentence + f"; {best} repairs it ({highest:.3f})."
    sentence = f"The likelihood detects {name} with AUROC {raw:.3f}"
    return sentence + ("." if best == "likelihood" else f", {best} with {highest:.3f}.")


def evaluate(
    subject: Subject, test: Statistics, measure: Measure, sets: dict[str, np.ndarray]
) -> Section:
    """Figure 3 of the poster, and how well several scores detect out-of-domain sets.

    The scores are fitted on training examples alone: held-out ones where the split has enough.

    Args:
      subject: what is evaluated, with a density.
      test: statistics of its test examples.
      measure: of ``make_statistics`` for its model.
      sets: out-of-domain sets by name, as of ``load``; at least one.
    """

    def examples(x, statistics):
        return Examples(statistics, code_length(x) if subject.dataset.info.levels else None)

    data = subject.config.data
    index, description = _training_sample(subject)
    x_train = subject.dataset.x_train[index]
    training = measure(subject.params, x_train)
    scores = make_scores(examples(x_train, training))
    inside = scores(examples(subject.dataset.x_test, test))
    found, log_density = {}, {}
    for name, x in sets.items():
        statistics = measure(subject.params, x)
        log_density[name] = statistics.log_density
        outside = scores(examples(x, statistics))
        found[name] = {score: detection(inside[score], outside[score]) for score in inside}

    rows = [
        Row(
            f"{name}, {score}: AUROC, AUPR, FPR95",
            "{auroc:.3f}, {aupr:.3f}, {fpr95:.3f}".format(**found[name][score]),
        )
        for name in found
        for score in found[name]
    ]
    own = {
        f"{data.name}, test": test.log_density,
        f"{data.name}, training": training.log_density,
    }
    auroc = np.array([[found[name][score]["auroc"] for score in inside] for name in found])
    pictures = [
        Picture(
            "likelihoods",
            "Log-likelihoods in and out of domain",
            f"log p(x) of test examples, of {description} and of other sets; what lies beyond the "
            "axis is in its outermost bins, which may be cut.",
            plot_likelihoods(own, log_density),
            poster="Figure 3",
        ),
        Picture(
            "detection",
            "Out-of-domain detection",
            "AUROC of every score: 1 separates the set from the test examples, 0.5 is chance, "
            "less prefers the wrong one.",
            plot_scores(auroc, list(found), list(inside)),
        ),
    ]
    note = (
        f"Scores are fitted on {len(index)} {description}, and see no out-of-domain example; which "
        "is best for a set is known in hindsight only. "
        + " ".join(_verdict(data.name, name, found[name]) for name in found)
    )
    return Section("Out-of-domain detection", {"ood": found}, rows, pictures, note)
