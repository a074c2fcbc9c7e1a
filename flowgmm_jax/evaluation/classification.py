"""Which classes are told apart: accuracy by class, the confusion matrix, mistakes as pictures."""

from collections.abc import Sequence

import numpy as np
from scipy.special import softmax
from sklearn import metrics

from flowgmm_jax import gmm
from flowgmm_jax.evaluation import figures, poster
from flowgmm_jax.evaluation.report import Picture, Row, Section
from flowgmm_jax.trained import Trained

MISTAKES = 24


def _confusion_picture(counts: np.ndarray, names: Sequence[str]) -> Picture:
    num_classes = len(counts)
    side = max(2.2, 0.42 * num_classes)
    figure, ((axes,),) = figures.panels(1, 1, side, side)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if num_classes <= 20:
        for row, column in np.ndindex(*counts.shape):
            if counts[row, column]:
                color = "white" if shares[row, column] > 0.5 else "black"
                style = {"ha": "center", "va": "center", "fontsize": 7, "color": color}
                axes.text(column, row, counts[row, column], **style)
    ticks = np.arange(num_classes) if num_classes <= 20 else []
    axes.set(xticks=ticks, yticks=ticks, xlabel="predicted class", ylabel="class")
    if len(ticks) and max(map(len, names)) > 2:
        axes.set_xticklabels(names, rotation=90)
        axes.set_yticklabels(names)
    return Picture(
        "confusion",
        "Confusion matrix",
        "Test examples by class (rows) and predicted class (columns): counts, shaded by their "
        "share of the row.",
        figure,
    )


def _mistakes_picture(
    x: np.ndarray, y: np.ndarray, probabilities: np.ndarray, levels: int, names: Sequence[str]
) -> Picture:
    predicted = gmm.classify(probabilities)
    wrong = np.flatnonzero(predicted != y)
    worst = wrong[np.argsort(-probabilities[wrong].max(-1), kind="stable")][:MISTAKES]
    columns = min(len(worst), 8)
    rows = -(-len(worst) // columns)
    figure, grid = figures.panels(rows, columns, 0.95, 1.15)
    for axes in grid.flat:
        axes.axis("off")
    for axes, i in zip(grid.flat, worst, strict=False):
        figures.show_images(axes, x[i][None, None].astype(float), levels)
        axes.set_title(
            f"{names[y[i]]} as {names[predicted[i]]}\n{probabilities[i].max():.3f}",
            fontsize=7,
            pad=2,
        )
    return Picture(
        "mistakes",
        "The most confident mistakes",
        f"Of {len(wrong)} test images that are classified wrongly, those with the largest "
        "posterior probability: the label, the predicted class, and its probability.",
        figure,
        is_line_art=False,
    )


def evaluate(trained: Trained, joint: np.ndarray) -> Section:
    """Accuracy in all and by class, the confusion matrix, the most confident mistakes.

    Metrics: ``accuracy`` in percent, ``class_accuracy`` (K,) in percent (null for a class without
    test examples), ``confusion`` (K, K), counts, and ``classes``, the K names.

    Args:
      trained: the model and its data.
      joint: class_log_density (N, K) of the test examples.
    """
    x, y = trained.dataset.x_test, trained.dataset.y_test
    num_classes, levels = trained.info.num_classes, trained.info.levels
    names = trained.dataset.classes
    probabilities = softmax(joint.astype(np.float64), axis=-1)
    predicted = gmm.classify(joint)
    counts = metrics.confusion_matrix(y, predicted, labels=np.arange(num_classes))
    of_class = counts.sum(1)
    class_accuracy = [
        float(100 * counts[k, k] / of_class[k]) if of_class[k] else None for k in range(num_classes)
    ]
    accuracy = float(100 * np.mean(predicted == y))
    published = poster.table_1(trained.config)
    rows = [
        Row(
            "accuracy (%)",
            f"{accuracy:.2f}",
            f"{published.accuracy:.2f} ({published.row})" if published else "",
        )
    ]
    known = [(value, k) for k, value in enumerate(class_accuracy) if value is not None]
    for label, (value, k) in (("lowest", min(known)), ("highest", max(known))):
        rows.append(Row(f"{label} accuracy of a class (%)", f"{value:.2f} (class {names[k]})"))
    pictures = [_confusion_picture(counts, names)]
    if levels and np.any(predicted != y):
        pictures.append(_mistakes_picture(x, y, probabilities, levels, names))
    return Section(
        "Classification",
        {
            "accuracy": accuracy,
            "class_accuracy": class_accuracy,
            "confusion": counts.tolist(),
            "classes": list(names),
        },
        rows,
        pictures,
        f"On the {len(y)} test examples, with the moving average of the parameters at the last "
        "checkpoint.",
    )
