"""Whether the class posterior means what it says, and the temperature that mends it (Table 2)."""

from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import brentq, minimize_scalar
from scipy.special import log_softmax, softmax
from scipy.stats import chi2

from flowgmm_jax import gmm
from flowgmm_jax.evaluation import figures, poster
from flowgmm_jax.evaluation.report import Picture, Row, Section
from flowgmm_jax.evaluation.statistics import Measure, Statistics
from flowgmm_jax.trained import Trained

BINS = 15  # of Guo et al. 2017
FIT_EXAMPLES = 1000
LOG_TEMPERATURES = (-7.0, 14.0)
CONFIDENCE = 0.95


# ------------------------------------------------------------------------------ temperature


def mixture_offset(prior: gmm.GMM) -> np.ndarray:
    """log w_k - d log s_k, float64 (K,): what temperature leaves as it is in class log-densities;
    d is the number of latents that carry the class."""
    d = prior.means.shape[-1]
    offset = gmm.log_class_weights(prior) - d * prior.log_scale
    return np.asarray(offset, np.float64)


def tempered(joint: np.ndarray, offset: np.ndarray, temperature: float) -> np.ndarray:
    """Class log-densities when the variance of every component is multiplied by a temperature T.

    With variances T s_k^2, the only terms of log p(x, y = k) that depend on k are

        log w_k - D log s_k - |z - mu_k|^2 / (2 T s_k^2):

    -D/2 log(2 pi T) and the log-determinant are common to all classes. At T = 1 this is, up to such
    a term, ``joint``; so the last summand is (joint - offset) / T with
    offset_k = log w_k - D log s_k, and the posterior at T is the softmax of

        offset_k + (joint_k - offset_k) / T.

    Where all scales and weights are equal this is the usual temperature scaling (Guo et al. 2017,
    https://arxiv.org/abs/1706.04599, eq. 9).

    Args:
      joint: (N, K), log p(x, y = k) in nats.
      offset: (K,), of ``mixture_offset``.
      temperature: T > 0.

    Returns:
      (N, K) in nats, up to a term common to the classes of an example.
    """
    return offset + (joint - offset) / temperature


def fit_temperature(joint: np.ndarray, offset: np.ndarray, y: np.ndarray) -> float:
    """Of the temperatures that labels y (N,) do not contradict, the nearest to 1.

    They are those of the 95% likelihood interval, whose log-likelihood is at most
    chi2_1(0.95) / 2 = 1.92 nats below the largest (Wilks 1938, "The large-sample distribution of
    the likelihood ratio", https://doi.org/10.1214/aoms/1177732360). So a model is changed only as
    far as the examples ask for it; where they are few, or without a mistake, the temperature of the
    least NLL does harm on other data. The NLL is convex in 1 / T, so there is one such interval.
    """
    joint = np.asarray(joint, np.float64)
    # A term common to the classes changes nothing, and thousands of nats would cost digits.
    joint = joint - joint.max(axis=-1, keepdims=True)

    def total_nll(log_temperature):
        return len(y) * nll(tempered(joint, offset, np.exp(log_temperature)), y)

    options = {"xatol": 1e-6}
    best = minimize_scalar(total_nll, bounds=LOG_TEMPERATURES, method="bounded", options=options)
    allowed = best.fun + chi2.ppf(CONFIDENCE, 1) / 2
    if total_nll(0.0) <= allowed:
        return 1.0
    ends = sorted((0.0, best.x))
    return float(np.exp(brentq(lambda t: total_nll(t) - allowed, *ends)))


# ----------------------------------------------------------------------------------- scores


def nll(logits: np.ndarray, y: np.ndarray) -> float:
    """Mean -log p(y | x) in nats; ``logits`` (N, K), whose softmax is the posterior."""
    log_posterior = log_softmax(np.asarray(logits, np.float64), axis=-1)
    return float(-log_posterior[np.arange(len(y)), y].mean())


class Bins(NamedTuple):
    """Examples binned by the posterior of their predicted class; empty bins have zeros.

    Attributes:
      share: of all examples, (M,).
      confidence: mean posterior of the predicted class, (M,).
      accuracy: share of right predictions, (M,).
    """

    share: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def error(self) -> float:
        """Mean |accuracy - confidence|, weighted by share (Guo et al. 2017, eq. 3)."""
        return float(np.sum(self.share * np.abs(self.accuracy - self.confidence)))


def bins(logits: np.ndarray, y: np.ndarray, equal_count: bool = False) -> Bins:
    """Bins (m / M, (m + 1) / M], M = ``BINS``, or bins of equal count.

    Equal confidences share a bin, so that no number depends on the order of the examples; bins of
    equal count are therefore only as equal as that allows.
    """
    posterior = softmax(np.asarray(logits, np.float64), axis=-1)
    confidence, correct = posterior.max(axis=-1), gmm.classify(posterior) == y
    edges = np.linspace(0, 1, BINS + 1)[1:-1]
    if equal_count:
        edges = np.quantile(confidence, edges, method="inverted_cdf")
    member = np.searchsorted(edges, confidence, side="left")
    count, confident, right = (
        np.bincount(member, weights, minlength=BINS)
        for weights in (None, confidence, correct.astype(np.float64))
    )
    filled = np.maximum(count, 1)
    return Bins(count / len(y), confident / filled, right / filled)


def scores(logits: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """How good a posterior is, in float64.

    Args:
      logits: (N, K); their softmax is the posterior.
      y: (N,), the labels.

    Returns:
      ``nll``, -log p(y | x) in nats; ``ece``, the expected calibration error over bins of equal
      width, and ``ece_adaptive`` over bins of equal count, as shares; ``brier``, the squared
      distance of the posterior from the label, summed over classes; ``accuracy`` in percent.
    """
    posterior = softmax(np.asarray(logits, np.float64), axis=-1)
    squares = np.square(posterior - np.eye(posterior.shape[-1])[y]).sum(axis=-1)
    return {
        "nll": nll(logits, y),
        "ece": bins(logits, y).error,
        "ece_adaptive": bins(logits, y, equal_count=True).error,
        "brier": float(squares.mean()),
        "accuracy": float(100.0 * (gmm.classify(posterior) == y).mean()),
    }


# ----------------------------------------------------------------------------------- figure


def _reliability(axes: Any, histogram: Any, binned: Bins, title: str) -> None:
    """Accuracy a bin and its gap to the diagonal; below, the share of examples of every bin."""
    centres, width = (np.arange(BINS) + 0.5) / BINS, 1 / BINS
    filled = binned.share > 0
    middle, accuracy = centres[filled], binned.accuracy[filled]
    gap = binned.confidence[filled] - accuracy
    axes.bar(middle, accuracy, width, color=figures.UNLABELED, edgecolor="white", label="accuracy")
    axes.bar(
        middle,
        gap,
        width,
        bottom=accuracy,
        color=figures.OTHER,
        alpha=0.35,
        edgecolor=figures.OTHER,
        linewidth=0.6,
        label="gap to the confidence",
    )
    axes.plot([0, 1], [0, 1], color=figures.NEUTRAL, linestyle="dashed", linewidth=1)
    axes.set(xlim=(0, 1), ylim=(0, 1), title=f"{title}: ECE {binned.error:.3f}")
    axes.tick_params(labelbottom=False)
    histogram.bar(centres, binned.share, width, color=figures.NEUTRAL, edgecolor="white")
    histogram.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", yticks=(0, 1))


def plot(panes: dict[str, Bins]) -> Figure:
    """Reliability diagrams (Guo et al. 2017, figure 1) of binned posteriors by their titles."""
    figure, axes = figures.panels(2, len(panes))
    figure.set_figheight(4.2)
    axes[0, 0].get_gridspec().set_height_ratios([4, 1])
    for column, (title, binned) in zip(axes.T, panes.items(), strict=True):
        _reliability(*column, binned, title)
    axes[0, 0].set_ylabel("accuracy")
    axes[1, 0].set_ylabel("share")
    axes[0, 0].legend(loc="upper left", fontsize="small", frameon=False)
    return figure


# ------------------------------------------------------------------------------------- part


class Held(NamedTuple):
    """Training examples whose labels nothing has used: indices, and what they are."""

    index: np.ndarray
    description: str


def held_out(trained: Trained) -> Held | None:
    """What a temperature may be fitted on, never the test set: the validation examples, else up to
    ``FIT_EXAMPLES`` whose known labels were not given to training; None where there are none."""
    split, y = trained.split, trained.dataset.y_train
    if len(split.validation):
        return Held(split.validation, "validation")
    unseen = np.setdiff1d(split.unlabeled, split.labeled)
    unseen = unseen[y[unseen] >= 0]
    if not len(unseen):
        return None
    number = min(FIT_EXAMPLES, len(unseen))
    chosen = np.random.default_rng(0).choice(unseen, number, replace=False)
    return Held(np.sort(chosen), "training labels that training did not see")


def offset_of(trained: Trained) -> np.ndarray:
    """``mixture_offset``; zeros (K,), plain temperature scaling, of a model without a mixture."""
    if trained.model.prior:
        return mixture_offset(trained.model.prior(trained.params))
    return np.zeros(trained.info.num_classes)


def _rows(before: dict, after: dict | None, printed: poster.Calibration | None) -> list[Row]:
    def row(label, value, name, form):
        return Row(
            label, form.format(value), form.format(getattr(printed, name)) if printed else ""
        )

    rows = [
        row("accuracy (%)", before["accuracy"], "accuracy", "{:.2f}"),
        row("NLL (nats)", before["nll"], "nll", "{:.3f}"),
        row("ECE", before["ece"], "ece", "{:.3f}"),
    ]
    if after:
        rows += [
            row("NLL with temperature (nats)", after["nll"], "nll_after", "{:.3f}"),
            row("ECE with temperature", after["ece"], "ece_after", "{:.3f}"),
            Row("accuracy with temperature (%)", f"{after['accuracy']:.2f}"),
            Row("temperature", f"{after['temperature']:.3g}"),
            Row("examples that it was fitted on", f"{after['examples']}"),
        ]
    return rows


def evaluate(trained: Trained, test: Statistics, measure: Measure) -> Section:
    """Table 2 of the poster: the posterior's NLL and ECE, before and after a temperature.

    The temperature is fitted on training examples whose labels nothing has used (``held_out``).

    Args:
      trained: what is evaluated.
      test: statistics of its test examples.
      measure: of ``make_statistics`` for its model.
    """
    y = trained.dataset.y_test
    before = scores(test.joint, y)
    panes = {"as trained": bins(test.joint, y)}
    held, after = held_out(trained), None
    if held is not None:
        fitted_on = measure(trained.params, trained.dataset.x_train[held.index])
        usable = np.isfinite(fitted_on.joint).all(axis=-1)
    note = (
        f"On {len(y)} test examples. ECE: {BINS} bins of equal width (ece_adaptive: of equal "
        "count) of the largest posterior. "
    )
    if held is None:
        note += (
            "No temperature: training was given every known label. A config with "
            "data.validation > 0 holds some out."
        )
    elif not usable.any():
        note += "No temperature: the densities of the held-out examples are not finite."
    else:
        offset = offset_of(trained)
        labels = trained.dataset.y_train[held.index][usable]
        temperature = fit_temperature(fitted_on.joint[usable], offset, labels)
        logits = tempered(np.asarray(test.joint, np.float64), offset, temperature)
        panes["with temperature"] = bins(logits, y)
        after = {
            "temperature": temperature,
            **scores(logits, y),
            "fitted_on": held.description,
            "examples": len(labels),
        }
        scaled = (
            f"The variance of all components is scaled by {temperature:.3g}"
            if trained.model.prior
            else f"The logits are divided by {temperature:.3g}"
        )
        note += (
            f"{scaled}: of the temperatures that the labels of {len(labels)} examples "
            f"({held.description}) do not contradict, the nearest to 1. No test label is used for "
            "it."
        )
    picture = Picture(
        "reliability",
        "Reliability",
        "Accuracy of the predictions of each confidence, on the test set; a calibrated model's "
        "bars end at the diagonal. Below, the share of the examples.",
        plot(panes),
        poster="Table 2",
    )
    return Section(
        "Calibration",
        before | {"calibrated": after},
        _rows(before, after, poster.table_2(trained.config)),
        [picture],
        note,
    )
