"""The decision boundary of a two-dimensional model (poster, Figures 1 and 2)."""

from typing import Any

import jax
import jax.numpy as jnp
import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from flowgmm_jax.models.base import Model

CELLS = 300  # a side of the grid
MARGIN = 0.15  # around the data, as a share of their width
UNLABELED = "#4c78a8"


def _grid(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The axes of a grid around points (N, 2)."""
    low, high = x.min(0), x.max(0)
    low, high = low - MARGIN * (high - low), high + MARGIN * (high - low)
    return np.linspace(low[0], high[0], CELLS), np.linspace(low[1], high[1], CELLS)


def _scatter(axes, x, y, labeled, colors) -> None:
    axes.scatter(*x.T, s=3, color=UNLABELED, alpha=0.5, linewidths=0)
    axes.scatter(
        *x[labeled].T, s=70, c=colors[y[labeled]], marker="^", edgecolors="black", zorder=3
    )


def plot(
    model: Model, params: Any, x: np.ndarray, y: np.ndarray, labeled: np.ndarray, num_classes: int
) -> Figure:
    """Data space and latent space side by side.

    Left: unlabelled points (dots), labelled points (triangles), the decision boundary (dashed) and
    the density (shading). Right: their latents, with one and two standard deviations of every
    component.

    Args:
      model: a model of vectors (B, 2) with a density.
      params: its parameters.
      x: (N, 2), the training points.
      y: (N,), their labels; only those of ``labeled`` are looked at.
      labeled: indices of the labelled points.
      num_classes: K.
    """
    colors = plt.get_cmap("tab10")(np.arange(num_classes))
    figure, (data, latent) = plt.subplots(1, 2, figsize=(10, 5), layout="constrained")

    horizontal, vertical = _grid(x)
    points = np.stack(np.meshgrid(horizontal, vertical), axis=-1).reshape(-1, 2)
    joint = jax.jit(model.class_log_density)(params, jnp.asarray(points, jnp.float32))
    density = np.exp(jax.nn.logsumexp(joint, axis=-1)).reshape(CELLS, CELLS)
    classes = np.asarray(joint.argmax(-1)).reshape(CELLS, CELLS)
    data.pcolormesh(
        horizontal, vertical, density, cmap="Greys", vmax=np.quantile(density, 0.995), alpha=0.6
    )
    for k in range(num_classes - 1):
        others = np.ma.masked_where(classes < k, classes == k)  # each border once
        data.contour(horizontal, vertical, others, [0.5], colors="black", linestyles="dashed")
    _scatter(data, x, y, labeled, colors)
    data.set_title("data x, density p(x), decision boundary")

    _scatter(latent, np.asarray(jax.jit(model.encode)(params, x)), y, labeled, colors)
    angle = np.linspace(0, 2 * np.pi, 100)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    prior = params["prior"]
    for mean, scale, color in zip(prior.means, np.exp(prior.log_scale), colors, strict=True):
        for deviations in (1, 2):
            latent.plot(*(np.asarray(mean) + deviations * scale * circle).T, color=color)
    latent.set_title("latents z = f(x), components of the mixture")
    for axes in (data, latent):
        axes.set_aspect("equal")
        axes.set_xticks([])
        axes.set_yticks([])
    return figure
