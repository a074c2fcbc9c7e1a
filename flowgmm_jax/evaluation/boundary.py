"""Where the decision boundary is: far from the data, as the poster claims? (Figures 1, 2, 4 e)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from flowgmm_jax import gmm
from flowgmm_jax.errors import InputError
from flowgmm_jax.evaluation import figures
from flowgmm_jax.evaluation.passes import map_batches
from flowgmm_jax.evaluation.report import Picture, Row, Section
from flowgmm_jax.trained import Trained

CELLS = 300  # a side of the grid
AROUND = 0.15  # the grid's margin around the data, as a share of their width
MOST = 10_000  # unlabelled examples whose distances are measured
MARGIN = 0.1  # of half the distance between two means


def distances(prior: gmm.GMM, z: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Euclidean distance of latents to the decision boundary, exact.

    Towards class k the nearest point with joint_a = joint_k, a the class of z, lies along the
    gradient of their difference g, since the level sets of g are concentric spheres (planes where
    the scales are equal). On that line g(t) = g - |grad g| t + (1/s_k^2 - 1/s_a^2) t^2 / 2, whose
    first root is the distance. The nearest of all classes is the distance to the region's border.

    Args:
      prior: the mixture.
      z: (B, D).

    Returns:
      The distance (B,) in latent space, and the same (B,) as a share of half the distance between
      the two means: 1 is as far as the mean itself where scales and weights are equal.
    """
    z = z[:, : prior.means.shape[-1]]  # the others are the same for all classes
    joint = gmm.class_logits(prior, z)
    a = gmm.classify(joint)
    precision = jnp.exp(-2 * prior.log_scale)
    pull = precision[:, None] * (prior.means - z[:, None])  # (B, K, D), gradients of the joint
    of_a = jnp.take_along_axis(pull, a[:, None, None], axis=1)
    slope = jnp.linalg.norm(of_a - pull, axis=-1)
    gap = joint.max(-1, keepdims=True) - joint
    curvature = precision - precision[a][:, None]
    root = slope**2 - 2 * curvature * gap
    distance = 2 * gap / (slope + jnp.sqrt(jnp.maximum(root, 0)))
    never = (root < 0) | (jnp.arange(joint.shape[-1]) == a[:, None])
    distance = jnp.where(never, jnp.inf, distance)
    nearest = distance.argmin(-1)
    half = 0.5 * jnp.linalg.norm(prior.means[a] - prior.means[nearest], axis=-1)
    distance = distance.min(-1)
    return distance, distance / half


class Distances(NamedTuple):
    """Distances (N,) of unlabelled data to the boundary, see ``distances``."""

    latent: np.ndarray
    relative: np.ndarray


def measure(trained: Trained) -> Distances:
    """Distances of unlabelled training examples, at most 10,000 of them, spread evenly."""
    unlabeled = trained.split.unlabeled
    chosen = unlabeled[np.linspace(0, len(unlabeled) - 1, min(MOST, len(unlabeled))).astype(int)]

    @jax.jit
    def of_batch(params, index, x):
        return distances(trained.model.prior(params), trained.model.encode(params, x))

    x = trained.dataset.x_train[chosen]
    return Distances(
        *map_batches(of_batch, trained.params, x, description="distances to the boundary")
    )


def summary(found: Distances) -> dict[str, float]:
    """``median`` of the relative distances, ``median_latent`` and the share ``within_margin``."""
    return {
        "median": float(np.median(found.relative)),
        "median_latent": float(np.median(found.latent)),
        "within_margin": float(np.mean(found.relative < MARGIN)),
    }


def _histogram(found: list[tuple[str, Distances]]) -> Picture:
    """Of one model or two, with their names."""
    figure, ((axes,),) = figures.panels(1, 1, 5.5, 3)
    every = np.concatenate([each.relative for _, each in found])
    edges = np.linspace(0, max(np.quantile(every[np.isfinite(every)], 0.995), MARGIN), 50)
    for (name, each), color in zip(found, (figures.UNLABELED, figures.OTHER), strict=False):
        share = np.histogram(each.relative, edges)[0] / len(each.relative)
        figures.fill_steps(axes, share, edges, name, color)
    axes.axvline(MARGIN, color="black", linestyle="dashed", linewidth=0.8)
    axes.set(xlim=(0, edges[-1]), ylabel="share of unlabelled data")
    axes.set_xlabel("distance to the decision boundary / half the distance of the means")
    axes.legend(fontsize="small")
    return Picture(
        "distances",
        "Distances from unlabelled data to the decision boundary",
        f"In latent space, exact. The dashed line is the margin of {MARGIN}: points left of it "
        "change their class with a small step.",
        figure,
        "Figure 4 (e)",
    )


def density_ratio(density: np.ndarray, classes: np.ndarray, of_data: np.ndarray) -> float:
    """Mean density on the boundary over mean density of the data.

    Args:
      density: (H, W), p(x) on a grid.
      classes: (H, W), the predicted classes there; the boundary runs between cells that differ.
      of_data: (N,), p(x) of the data.
    """
    both_ways = (density, classes), (density.T, classes.T)
    on_boundary = [0.5 * (p[1:] + p[:-1])[k[1:] != k[:-1]] for p, k in both_ways]
    return float(np.concatenate(on_boundary).mean() / of_data.mean())


def draw(trained: Trained) -> tuple[Picture, float]:
    """Data space and latent space of a two-dimensional model, and its ``density_ratio``."""
    model, params, num_classes = trained.model, trained.params, trained.info.num_classes
    x, y, labeled = trained.dataset.x_train, trained.dataset.y_train, trained.split.labeled
    colors = figures.class_colors(num_classes)
    figure, ((data, latent),) = figures.panels(1, 2, 5, 5)

    low, high = x.min(0), x.max(0)
    margin = AROUND * (high - low)
    horizontal, vertical = np.linspace(low - margin, high + margin, CELLS).T
    points = np.stack(np.meshgrid(horizontal, vertical), axis=-1).reshape(-1, 2)
    joint = jax.jit(model.class_log_density)(params, jnp.asarray(points, jnp.float32))
    density = np.exp(jax.nn.logsumexp(joint, axis=-1)).reshape(CELLS, CELLS)
    classes = np.asarray(gmm.classify(joint)).reshape(CELLS, CELLS)
    # A vector for every cell would make the SVG enormous.
    style = {"cmap": "Greys", "alpha": 0.6, "rasterized": True}
    data.pcolormesh(horizontal, vertical, density, vmax=np.quantile(density, 0.995), **style)
    for k in range(num_classes - 1):
        others = np.ma.masked_where(classes < k, classes == k)  # each border once
        data.contour(horizontal, vertical, others, [0.5], colors="black", linestyles="dashed")

    angle = np.linspace(0, 2 * np.pi, 100)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    prior = model.prior(params)
    for mean, scale, color in zip(prior.means, np.exp(prior.log_scale), colors, strict=True):
        for deviations in (1, 2):
            latent.plot(*(np.asarray(mean) + deviations * scale * circle).T, color=color)
    z = np.asarray(jax.jit(model.encode)(params, x))
    style = {"c": colors[y[labeled]], "marker": "^", "edgecolors": "black", "zorder": 3}
    for axes, points, title in (
        (data, x, "data x, density p(x), decision boundary"),
        (latent, z, "latents z = f(x), components of the mixture"),
    ):
        axes.scatter(*points.T, s=3, color=figures.UNLABELED, alpha=0.5, linewidths=0)
        axes.scatter(*points[labeled].T, s=70, **style)
        axes.set(title=title, xticks=[], yticks=[])
        axes.set_aspect("equal", adjustable="datalim")
    if num_classes <= 20:
        for name, color in zip(trained.dataset.classes, colors, strict=True):
            label, style["c"] = figures.shortened(name), [color]
            latent.scatter([], [], s=70, label=label, **style)
        latent.legend(fontsize="small")
    of_data = np.exp(jax.jit(model.log_density)(params, x))
    picture = Picture(
        "boundary",
        "Data, latents and the decision boundary",
        "Dots are unlabelled training points, triangles labelled ones, coloured by class. Left: "
        "density (shading) and decision boundary (dashed). Right: the same points in latent "
        "space, with one and two standard deviations of every component.",
        figure,
        "Figures 1 and 2",
    )
    return picture, density_ratio(density, classes, of_data)


def check_comparable(trained: Trained, other: Trained) -> None:
    """Raises InputError when the two are models of different examples, or ``other`` has no
    unlabelled ones to measure."""
    shapes = [each.dataset.info.shape for each in (trained, other)]
    if shapes[0] != shapes[1]:
        raise InputError(
            f"--compare: {other.name} is a model of examples of shape {shapes[1]}, "
            f"expected {shapes[0]} as {trained.name}"
        )
    if not np.array_equal(trained.dataset.x_train, other.dataset.x_train):
        raise InputError(
            f"--compare: {other.name} is a model of other examples ({other.config.data.name}) "
            f"than {trained.name} ({trained.config.data.name}): expected the same"
        )
    if not len(other.split.unlabeled):
        raise InputError(f"--compare: {other.name} has no unlabelled examples to measure")


def evaluate(trained: Trained, other: Trained | None = None) -> Section:
    """Distances of unlabelled data to the boundary; of two-dimensional sets the picture too.

    Not for one class, which has no boundary, or without unlabelled examples.

    Metrics, in ``boundary``: those of ``summary``, ``density_ratio`` for two-dimensional data, and
    ``compared``: the summary of the other model.

    Args:
      trained: the model.
      other: a model of the same data to compare with, see ``check_comparable``.
    """
    found = [(each.name, measure(each)) for each in (trained, other) if each is not None]
    metrics, *of_other = [summary(each) for _, each in found]
    rows, pictures = [], []
    if trained.info.shape == (2,):
        picture, ratio = draw(trained)
        pictures.append(picture)
        rows.append(Row("mean density on the boundary / of the data", f"{ratio:.2g}"))
        metrics["density_ratio"] = ratio
    for (name, _), values in zip(found, (metrics, *of_other), strict=True):
        suffix = f", {name}" if of_other else ""
        rows += [
            Row(f"median distance to the boundary{suffix}", f"{values['median']:.3f}"),
            Row(f"unlabelled data within the margin{suffix}", f"{values['within_margin']:.2%}"),
        ]
    if of_other:
        metrics["compared"] = {"name": other.name, **of_other[0]}
    pictures.append(_histogram(found))
    return Section(
        "Decision boundary",
        {"boundary": metrics},
        rows,
        pictures,
        "Distances are in latent space, as a share of half the distance between the means of the "
        "two classes, so that models with other means can be compared: 0 is on the boundary.",
    )
