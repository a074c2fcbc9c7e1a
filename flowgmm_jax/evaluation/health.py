"""Is the flow numerically what it claims to be: invertible, with the log-determinant it states?"""

import jax
import jax.numpy as jnp
import numpy as np

from flowgmm_jax.evaluation import figures
from flowgmm_jax.evaluation.passes import dequantized, map_batches
from flowgmm_jax.evaluation.report import Picture, Row, Section
from flowgmm_jax.flows.inspection import Layer, inspect_layers, log_det_error
from flowgmm_jax.trained import Trained

LAYER_EXAMPLES = 100
JACOBIAN_EXAMPLES = 3
JACOBIAN_DIMENSION = 1024  # the largest for which the Jacobian is formed
QUANTILES = (0.5, 0.99)


def _figure(layers: list[Layer], dimension: int) -> Picture:
    names = [layer.name for layer in layers]
    position = np.arange(len(layers))
    figure, ((errors, scales, volumes),) = figures.panels(1, 3, 3.6, 1.2 + 0.22 * len(layers))

    for quantile, color in zip(
        (*QUANTILES, 1.0), ("#9ecae1", figures.UNLABELED, "black"), strict=True
    ):
        value = [np.quantile(layer.inverse_error, quantile) for layer in layers]
        label = "largest" if quantile == 1 else f"{quantile:.0%} quantile"
        # A permutation has an error of zero, which a logarithmic axis cannot show.
        errors.plot(np.maximum(value, 1e-9), position, "o", color=color, label=label)
    errors.set_xscale("log")
    errors.set_xlabel("inverse error (units of its input)")
    errors.legend(fontsize="x-small")

    low, high = np.array([layer.log_scale for layer in layers]).T
    scales.hlines(position, low, high, color=figures.UNLABELED, linewidth=4)
    scales.axvline(0, color="black", linewidth=0.5)
    scales.set_xlabel("range of log-scales")

    low, middle, high = np.array(
        [np.quantile(layer.log_det, (0, 0.5, 1)) / dimension for layer in layers]
    ).T
    volumes.hlines(position, low, high, color=figures.OTHER, linewidth=4, alpha=0.5)
    volumes.plot(middle, position, "|", color=figures.OTHER, markersize=9)
    volumes.set_xlabel("log-determinant per dimension (nats)")

    for axes in (errors, scales, volumes):
        axes.set_yticks(position, names if axes is errors else [], fontsize="small")
        axes.set_ylim(len(layers) - 0.5, -0.5)
        axes.grid(axis="y", alpha=0.2)
    return Picture(
        "health",
        "Every layer of the flow",
        "From data (top) to latents (bottom), on test examples. Left: error of each layer's "
        "inverse (zero is drawn at 1e-9). Middle: log-scales of its couplings; at the ends of the "
        "allowed range a network is saturated. Right: how much it expands or (negative) contracts "
        "volume: smallest, median and largest example.",
        figure,
    )


def evaluate(trained: Trained) -> Section:
    """Inverse error of the flow and of each layer, log-determinants against autodiff, log-scales.

    Metrics: ``inverse_error_max``, in units of x, grey levels for images; and in ``health``
    ``inverse_error`` (``max``, quantiles), ``log_det_error`` in nats if D is at most 1024,
    ``nonfinite`` (a fraction), ``log_scale`` (smallest, largest; None without couplings) and
    ``layers``, the same per layer.
    """
    dimension, levels = trained.info.size, trained.info.levels
    params, model = trained.params, trained.model
    flow, flow_params = model.flow(params)
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
    layers = inspect_layers(flow, flow_params, x)
    scales = np.array([layer.log_scale for layer in layers])
    scales = scales[~np.isnan(scales).any(axis=1)]  # of the couplings, if there are any
    metrics = {
        "inverse_error": {
            "max": float(error.max()),
            **{f"quantile_{q}": float(np.quantile(error, q)) for q in QUANTILES},
        },
        "log_scale": [float(scales.min()), float(scales.max())] if len(scales) else None,
        "nonfinite": float(1 - finite.mean()),
        "layers": [
            {
                "name": layer.name,
                "inverse_error_max": float(layer.inverse_error.max()),
                "log_det_per_dim": float(layer.log_det.mean() / dimension),
                "log_scale": [float(v) for v in layer.log_scale],
                "nonfinite": float(1 - layer.finite),
            }
            for layer in layers
        ],
    }
    unit = "grey levels" if levels else "units of x"
    rows = [
        Row(f"inverse error, largest ({unit})", f"{error.max():.2g}"),
        Row("inverse error, median", f"{np.median(error):.2g}"),
        Row("values that are not finite", f"{metrics['nonfinite']:.2%}"),
    ]
    if len(scales):
        rows.insert(2, Row("log-scales of couplings", f"{scales.min():.2f} to {scales.max():.2f}"))
    if dimension <= JACOBIAN_DIMENSION:
        differences = log_det_error(flow, flow_params, x[:JACOBIAN_EXAMPLES])
        metrics["log_det_error"] = float(differences.max())
        rows.append(
            Row("log-determinant, error against autodiff (nats)", f"{differences.max():.2g}")
        )
    return Section(
        "Health of the flow",
        {"inverse_error_max": metrics["inverse_error"]["max"], "health": metrics},
        rows,
        [_figure(layers, dimension)],
        f"Inverse errors of the flow are over the {len(x_test)} test examples, those of layers "
        f"over {len(x)} of them; the Jacobian is computed for {JACOBIAN_EXAMPLES}, if there are at "
        f"most {JACOBIAN_DIMENSION} dimensions.",
    )
