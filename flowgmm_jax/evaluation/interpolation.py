"""Paths between latents, and what the model says along them (poster, Figure 4 c, d)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import logsumexp, softmax

from flowgmm_jax import gmm
from flowgmm_jax.evaluation import figures
from flowgmm_jax.evaluation.passes import map_batches
from flowgmm_jax.evaluation.report import Picture, Row, Section
from flowgmm_jax.models.base import Model
from flowgmm_jax.trained import Trained

STEPS = 11  # of an interpolation, ends included
SHOWN, PAIRS = 8, 64  # pairs drawn, pairs measured
KINDS = {"same": "the same class", "different": "different classes"}


def choose_pairs(y: np.ndarray, same_class: bool, count: int) -> np.ndarray:
    """Positions (count, 2) of test examples of the same class or of different ones.

    The classes of the first ends go round, so that every class takes part. There are no pairs,
    (0, 2), where no class has two examples, or where there are no two classes.
    """
    rng = np.random.default_rng(0)
    classes = np.unique(y)
    classes = classes[[(y == k).sum() > 1 for k in classes]] if same_class else classes
    if len(classes) < (1 if same_class else 2):
        return np.empty((0, 2), int)
    pairs = []
    for i in range(count):
        first = classes[i % len(classes)]
        second = first if same_class else rng.choice(classes[classes != first])
        if same_class:
            pairs.append(rng.choice(np.flatnonzero(y == first), 2, replace=False))
        else:
            pairs.append([rng.choice(np.flatnonzero(y == k)) for k in (first, second)])
    return np.array(pairs)


class Paths(NamedTuple):
    """Interpolations between N pairs of examples, at STEPS positions.

    Attributes:
      x: (N, STEPS, ...), straight lines in latent space, as data.
      straight: (N, STEPS, K), class_log_density along them, nats.
      typical: (N, STEPS, K), the same along paths that keep the latents' usual length.
    """

    x: np.ndarray
    straight: np.ndarray
    typical: np.ndarray


def slerp(a: jax.Array, b: jax.Array, weight: jax.Array) -> jax.Array:
    """From a (..., D) to b along an arc about the origin; weight (...,) goes from 0 to 1.

    Shoemake 1985, "Animating rotation with quaternion curves"; straight where a and b are nearly
    parallel.
    """
    cosine = jnp.sum(a * b, -1) / (jnp.linalg.norm(a, axis=-1) * jnp.linalg.norm(b, axis=-1))
    angle = jnp.arccos(jnp.clip(cosine, -1, 1))
    is_line = jnp.sin(angle) < 1e-3
    safe = jnp.where(is_line, 1.0, angle)
    first, second = (
        jnp.where(is_line, w, jnp.sin(w * safe) / jnp.sin(safe)) for w in (1 - weight, weight)
    )
    return first[..., None] * a + second[..., None] * b


def interpolate(model: Model, params: Any, ends: np.ndarray) -> Paths:
    """Paths between latents of examples.

    In many dimensions the latents of a component lie in a shell about its mean, and a straight line
    between two of them cuts through the inside, where log p(z) is larger although no data are
    there. The *typical* path stays in the shell: the deviation from the mean goes along an arc, and
    the mean in a straight line from that of the one end's class to that of the other's.

    Args:
      model: with ``encode``, ``decode`` and a ``prior``.
      params: its parameters.
      ends: (N, 2, ...), examples at the ends.
    """
    weight = jnp.linspace(0, 1, STEPS)

    def joint_and_data(params, z):
        x = model.decode(params, z.reshape(-1, z.shape[-1]))
        joint = model.class_log_density(params, x)
        return tuple(a.reshape(*z.shape[:2], *a.shape[1:]) for a in (x, joint))

    @jax.jit
    def paths(params, index, ends):
        latents = [model.encode(params, ends[:, i])[:, None] for i in (0, 1)]  # (B, 1, D)
        prior = model.prior(params)
        means = gmm.means_of_latents(prior, latents[0].shape[-1])
        means = [means[gmm.classify(gmm.joint(prior, z[:, 0]))][:, None] for z in latents]

        def straight(a, b):
            return (1 - weight[:, None]) * a + weight[:, None] * b  # (B, STEPS, D)

        deviations = [z - mean for z, mean in zip(latents, means, strict=True)]
        x, along_straight = joint_and_data(params, straight(*latents))
        _, along_typical = joint_and_data(params, straight(*means) + slerp(*deviations, weight))
        return Paths(x, along_straight, along_typical)

    return map_batches(paths, params, ends, description="interpolating")


def above_ends(joint: np.ndarray) -> np.ndarray:
    """log p(x) along interpolations less the straight line between its values at the ends, nats.

    Args:
      joint: class_log_density (N, STEPS, K).

    Returns:
      (N, STEPS), zero at the ends; nan where a decoded value is at the very end of its range, as
      far as its precision goes, and so has no density.
    """
    log_density = logsumexp(joint.astype(np.float64), axis=-1)
    weight = np.linspace(0, 1, log_density.shape[1])
    return log_density - log_density[:, :1] * (1 - weight) - log_density[:, -1:] * weight


def drop(joint: np.ndarray) -> np.ndarray:
    """The deepest point of ``above_ends`` as a positive number, (N,); nan where there is none."""
    relative = above_ends(joint)
    deepest = np.nanmin(relative, axis=-1, initial=np.inf)
    return np.where(np.isfinite(relative).any(axis=-1), -deepest, np.nan)


def _path_images(trained: Trained, kind: str, x: np.ndarray) -> Picture:
    return Picture(
        f"interpolations_{kind}",
        f"Interpolations between test images of {KINDS[kind]}",
        "Straight lines in latent space, decoded. The images at both ends are test images.",
        figures.sheet(x[:SHOWN], trained.info.levels),
        {"same": "Figure 4 (c)", "different": "Figure 4 (d)"}[kind],
        is_line_art=False,
    )


def _profiles(paths: dict[str, Paths], dimension: int) -> Picture:
    """log p(x) and the class posterior along the paths."""
    figure, (densities, posteriors) = figures.panels(2, len(paths), 3.6, 2.4)
    position = np.linspace(0, 1, STEPS)
    for kind, density, posterior in zip(paths, densities, posteriors, strict=True):
        color = {"same": figures.UNLABELED, "different": figures.OTHER}[kind]
        for joint, style, label in (
            (paths[kind].straight, "solid", "straight"),
            (paths[kind].typical, "dotted", "in the shell of the data"),
        ):
            relative = above_ends(joint) / dimension
            low, middle, high = np.nanquantile(relative, (0.1, 0.5, 0.9), axis=0)
            density.fill_between(position, low, high, color=color, alpha=0.15, linewidth=0)
            density.plot(position, middle, color=color, linestyle=style, label=label)
        density.axhline(0, color="black", linewidth=0.5)
        density.set_title(KINDS[kind])

        joint = paths[kind].straight.astype(np.float64)
        probability = softmax(joint, axis=-1)
        for end, style, label in ((0, "solid", "first"), (-1, "dashed", "second")):
            of_end = gmm.classify(joint[:, end])[:, None, None]
            mean = np.nanmean(np.take_along_axis(probability, of_end, axis=-1)[..., 0], axis=0)
            posterior.plot(
                position, mean, color=color, linestyle=style, label=f"class of the {label} end"
            )
        posterior.set_ylim(-0.03, 1.03)
        posterior.set_xlabel("position on the path")
    densities[0].legend(fontsize="x-small")
    posteriors[0].legend(fontsize="x-small", loc="center left")
    densities[0].set_ylabel("log p(x) / D above the ends")
    posteriors[0].set_ylabel("mean class posterior")
    low = min(axes.get_ylim()[0] for axes in densities)
    high = max(axes.get_ylim()[1] for axes in densities)
    for axes in densities:
        axes.set_ylim(low, high)
    return Picture(
        "paths",
        "Density and class along the interpolations",
        f"Above: log p(x) per dimension along {PAIRS} paths of each kind, less the straight line "
        "between its ends (median and the middle 80%). A line between two latents cuts through the "
        "inside of the shell that high-dimensional Gaussian data live in, where the density is "
        "larger though there are no data; the dotted path stays in the shell. Below: the mean "
        "posterior of the classes of both ends along the straight lines. The clustering principle "
        "asks that paths between classes cross a region of low density where the class changes.",
        figure,
        "Figure 4 (c, d)",
    )


def evaluate(trained: Trained) -> Section:
    """Interpolations between test examples, as images, and the density along them.

    Metrics, in ``interpolation``, for ``same`` class and ``different`` classes: the median over
    pairs of how far log p(x) falls between the ends, in nats, on straight lines in latent space
    (``drop``) and on paths in the shell of the data (``drop_typical``).
    """
    info = trained.info
    x_test, y_test = trained.dataset.x_test, trained.dataset.y_test
    paths, metrics, rows, pictures = {}, {}, [], []
    for kind, label in KINDS.items():
        pairs = choose_pairs(y_test, kind == "same", PAIRS)
        if not len(pairs):
            continue
        paths[kind] = interpolate(trained.model, trained.params, x_test[pairs])
        falls = [float(np.nanmedian(drop(joint))) for joint in paths[kind][1:]]
        metrics[kind] = dict(zip(("drop", "drop_typical"), falls, strict=True))
        for path, fall in zip(("straight", "in the shell"), falls, strict=True):
            rows.append(Row(f"fall of log p(x), {label}, {path} (nats)", f"{fall:.1f}"))
        if len(info.shape) == 3:
            pictures.append(_path_images(trained, kind, paths[kind].x))
    if paths:
        pictures.append(_profiles(paths, int(np.prod(info.shape))))
    return Section(
        "Interpolation",
        {"interpolation": metrics},
        rows,
        pictures,
        f"Interpolations are between {PAIRS} pairs of test examples of each kind, chosen without "
        "looking at the model. A fall is the largest distance of log p(x) below the straight line "
        "between its values at the ends, median over the pairs.",
    )
