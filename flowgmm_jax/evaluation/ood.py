"""Telling other data from the model's own (poster, Figure 3)."""

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from flowgmm_jax.evaluation import figures
from flowgmm_jax.evaluation.ood_scores import Examples, code_length, detection, make_scores
from flowgmm_jax.evaluation.report import Picture, Row, Section
from flowgmm_jax.evaluation.statistics import Measure, Statistics
from flowgmm_jax.trained import Trained

TRAINING_EXAMPLES = 5000
ENOUGH_VALIDATION = 200  # for a density
BINS = 80
COLORS = ("#e45756", "#54a24b", "#f58518", "#b279a2", "#9d755d", "#72b7b2")  # of the sets


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
    figure, ((axes,),) = figures.panels(1, 1, width=7, height=3.6)

    def share(values):
        values = np.nan_to_num(values, nan=-np.inf, posinf=np.inf, neginf=-np.inf)
        return np.histogram(values.clip(edges[0], edges[-1]), edges)[0] / len(values)

    shares = {name: share(values) for name, values in (inside | outside).items()}
    for number, (name, heights) in enumerate(shares.items()):
        if number == 1:
            axes.stairs(heights, edges, label=name, color=figures.NEUTRAL, linestyle="dashed")
            continue
        color = figures.UNLABELED if number == 0 else COLORS[(number - 2) % len(COLORS)]
        figures.fill_steps(axes, heights, edges, name, color)
    tallest = max(heights[1:-1].max() for heights in shares.values())
    axes.set(xlabel="log p(x), nats", ylabel="share of examples")
    axes.set(xlim=(edges[0], edges[-1]), ylim=(0, 1.1 * tallest))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize="small")
    return figure


def plot_scores(auroc: np.ndarray, sets: Sequence[str], scores: Sequence[str]) -> Figure:
    """AUROC (len(sets), len(scores)) as a table in colour: red where a score fails."""
    height = 0.45 * len(sets) + 0.7
    figure, ((axes,),) = figures.panels(1, 1, width=1.3 * len(scores) + 1.8, height=height)
    axes.imshow(auroc, cmap="RdBu", vmin=-0.2, vmax=1.2, aspect="auto")
    for row, column in np.ndindex(auroc.shape):
        axes.text(column, row, f"{auroc[row, column]:.3f}", ha="center", va="center")
    axes.set_xticks(range(len(scores)), [textwrap.fill(score, 12) for score in scores])
    axes.set_yticks(range(len(sets)), sets)
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    return figure


def _training_sample(trained: Trained) -> tuple[np.ndarray, str]:
    """Indices of the training examples that scores are fitted on, and what they are."""
    split = trained.split
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
    trained: Trained, test: Statistics, measure: Measure, sets: dict[str, np.ndarray]
) -> Section:
    """Figure 3 of the poster, and how well several scores detect out-of-domain sets.

    The scores are fitted on training examples alone: held-out ones where the split has enough.

    Args:
      trained: what is evaluated, with a density.
      test: statistics of its test examples.
      measure: of ``make_statistics`` for its model.
      sets: out-of-domain sets by name, as of ``ood_sets.load``; at least one.
    """

    def examples(x, statistics):
        return Examples(statistics, code_length(x) if trained.info.levels else None)

    data = trained.config.data
    index, description = _training_sample(trained)
    x_train = trained.dataset.x_train[index]
    training = measure(trained.params, x_train)
    scores = make_scores(examples(x_train, training))
    inside = scores(examples(trained.dataset.x_test, test))
    found, log_density = {}, {}
    for name, x in sets.items():
        statistics = measure(trained.params, x)
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
