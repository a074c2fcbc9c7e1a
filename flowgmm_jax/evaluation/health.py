"""Is the flow numerically what it claims to be: invertible, with the log-determinant it states?"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from flowgmm_jax import density, flows
from flowgmm_jax.evaluation import figures
from flowgmm_jax.evaluation.passes import dequantized, map_batches
from flowgmm_jax.evaluation.report import Picture, Row, Section
from flowgmm_jax.flows.nets import ScaleAndShift
from flowgmm_jax.models.build import build_flow
from flowgmm_jax.trained import Trained

LAYER_EXAMPLES = 100
JACOBIAN_EXAMPLES = 3
JACOBIAN_DIMENSION = 1024  # the largest for which the Jacobian is formed
QUANTILES = (0.5, 0.99)


class Layer(NamedTuple):
    """What is found in one layer, over examples.

    Attributes:
      name: number and kind.
      inverse_error: (B,), the largest |inverse(forward(x)) - x| of an example, in units of the
        layer's input.
      log_det: (B,), nats.
      log_scale: (2,), least and largest log-scale of its couplings; nan where it has none.
      finite: share of its outputs that are finite.
    """

    name: str
    inverse_error: np.ndarray
    log_det: np.ndarray
    log_scale: np.ndarray
    finite: float


@partial(jax.jit, static_argnums=0)
def _examine(layer: flows.Bijector, params: Any, x: Any) -> tuple:
    scales = []

    def record(call, args, kwargs, context):
        result = call(*args, **kwargs)
        if isinstance(context.module, ScaleAndShift) and context.method_name == "__call__":
            scales.append(result[0].astype(jnp.float32).ravel())
        return result

    with nn.intercept_methods(record):
        z, log_det = layer.forward(params, x)
    x_back, _ = layer.inverse(params, z)
    difference = jax.tree.map(lambda a, b: jnp.abs(a - b), x_back, x)
    flat = density.flatten(z)
    scales = jnp.concatenate(scales) if scales else jnp.array([jnp.nan])
    extent = jnp.array([scales.min(), scales.max()])
    return z, density.flatten(difference).max(-1), log_det, extent, jnp.isfinite(flat).mean()


def examine(flow: flows.Bijector, params: Any, x: jax.Array) -> list[Layer]:
    """Every layer of a flow, on the examples x (B, ...) and what the layers before make of them."""
    found = []
    for number, (layer, params_i) in enumerate(flows.layers(flow, params), 1):
        x, *values = _examine(layer, params_i, x)
        found.append(Layer(f"{number} {layer.name}", *jax.device_get(values)))
    return found


def log_det_error(flow: flows.Bijector, params: Any, x: jax.Array) -> np.ndarray:
    """|log_det - log |det J||, nats, (B,), with the Jacobian J of x (B, ...) by autodiff."""

    @jax.jit
    def one(params, x):
        def forward(x):
            latents, log_det = flow.forward(params, x[None])
            return density.flatten(latents)[0], log_det[0]

        (_, log_det), pull_back = jax.vjp(forward, x)
        rows = jax.lax.map(lambda row: pull_back((row, jnp.zeros(())))[0], jnp.eye(x.size))
        return log_det, rows.reshape(x.size, x.size)

    errors = []
    for example in x:
        log_det, jacobian = jax.device_get(one(params, example))
        errors.append(abs(np.linalg.slogdet(jacobian.astype(np.float64))[1] - log_det))
    return np.array(errors)


def _figure(found: list[Layer], dimension: int) -> Picture:
    names = [layer.name for layer in found]
    position = np.arange(len(found))
    figure, ((errors, scales, volumes),) = figures.panels(1, 3, 3.6, 1.2 + 0.22 * len(found))

    for quantile, color in zip(
        (*QUANTILES, 1.0), ("#9ecae1", figures.UNLABELED, "black"), strict=True
    ):
        value = [np.quantile(layer.inverse_error, quantile) for layer in found]
        label = "largest" if quantile == 1 else f"{quantile:.0%} quantile"
        # A layer that only moves values has no error at all, which a logarithm cannot show.
        errors.plot(np.maximum(value, 1e-9), position, "o", color=color, label=label)
    errors.set_xscale("log")
    errors.set_xlabel("inverse error (units of its input)")
    errors.legend(fontsize="x-small")

    low, high = np.array([layer.log_scale for layer in found]).T
    scales.hlines(position, low, high, color=figures.UNLABELED, linewidth=4)
    scales.axvline(0, color="black", linewidth=0.5)
    scales.set_xlabel("range of log-scales")

    low, middle, high = np.array(
        [np.quantile(layer.log_det, (0, 0.5, 1)) / dimension for layer in found]
    ).T
    volumes.hlines(position, low, high, color=figures.OTHER, linewidth=4, alpha=0.5)
    volumes.plot(middle, position, "|", color=figures.OTHER, markersize=9)
    volumes.set_xlabel("log-determinant per dimension (nats)")

    for axes in (errors, scales, volumes):
        axes.set_yticks(position, names if axes is errors else [], fontsize="small")
        axes.set_ylim(len(found) - 0.5, -0.5)
        axes.grid(axis="y", alpha=0.2)
    return Picture(
        "health",
        "Every layer of the flow",
        "From data (top) to latents (bottom), on test examples. Left: how well each layer inverts "
        "itself (exactly: drawn at 1e-9). Middle: log-scales of its couplings; at the ends of the "
        "allowed range a network is saturated. Right: how much it expands (positive) or contracts "
        "volume: smallest, median and largest example.",
        figure,
    )


def evaluate(trained: Trained) -> Section:
    """Inverse error per layer and in all, log-determinants against autodiff, log-scales.

    Metrics: ``inverse_error_max``, in units of x, grey levels for images; and in ``health``
    ``inverse_error`` (``max``, quantiles), ``log_det_error`` in nats where D is at most 1024,
    ``nonfinite`` (a share), ``log_scale`` (least, largest) and ``layers``, the same of each.
    """
    config = trained.config
    shape, levels = trained.info.shape, config.data.levels
    dimension = int(np.prod(shape))
    flow = build_flow(config, trained.info)
    params, model = trained.params, trained.model
    x_test = trained.dataset.x_test

    @jax.jit
    def round_trip(params, index, x):
        x = dequantized(index, x, levels)
        z = model.encode(params, x)
        error = jnp.abs(model.decode(params, z) - x).reshape(len(x), -1).max(-1)
        return error, jnp.isfinite(z).mean(-1)

    error, finite = map_batches(round_trip, params, x_test, description="inverting the test set")
    first = jnp.asarray(x_test[:LAYER_EXAMPLES])
    x = dequantized(np.arange(len(first)), first, levels)
    found = examine(flow, params["flow"], x)
    scales = np.array([layer.log_scale for layer in found])
    metrics = {
        "inverse_error": {
            "max": float(error.max()),
            **{f"quantile_{q}": float(np.quantile(error, q)) for q in QUANTILES},
        },
        "log_scale": [float(np.nanmin(scales[:, 0])), float(np.nanmax(scales[:, 1]))],
        "nonfinite": float(1 - finite.mean()),
        "layers": [
            {
                "name": layer.name,
                "inverse_error_max": float(layer.inverse_error.max()),
                "log_det_per_dim": float(layer.log_det.mean() / dimension),
                "log_scale": [float(v) for v in layer.log_scale],
                "nonfinite": float(1 - layer.finite),
            }
            for layer in found
        ],
    }
    unit = "grey levels" if levels else "units of x"
    rows = [
        Row(f"inverse error, largest ({unit})", f"{error.max():.2g}"),
        Row("inverse error, median", f"{np.median(error):.2g}"),
        Row("log-scales of couplings", "{:.2f} to {:.2f}".format(*metrics["log_scale"])),
        Row("values that are not finite", f"{metrics['nonfinite']:.2%}"),
    ]
    if dimension <= JACOBIAN_DIMENSION:
        differences = log_det_error(flow, params["flow"], x[:JACOBIAN_EXAMPLES])
        metrics["log_det_error"] = float(differences.max())
        rows.append(
            Row("log-determinant, error against autodiff (nats)", f"{differences.max():.2g}")
        )
    return Section(
        "Health of the flow",
        {"inverse_error_max": metrics["inverse_error"]["max"], "health": metrics},
        rows,
        [_figure(found, dimension)],
        f"Inverse errors in all are over the {len(x_test)} test examples, those of layers over "
        f"{len(x)} of them; the Jacobian of {JACOBIAN_EXAMPLES} is formed where an example has at "
        f"most {JACOBIAN_DIMENSION} dimensions.",
    )
