"""Models of a user's own data: densities in the units of the data, and raw examples as inputs."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from flowgmm_jax.data import preprocessing as host
from flowgmm_jax.data.folders import scaled
from flowgmm_jax.data.preprocessing import LEVELS, Preprocessing
from flowgmm_jax.density import bits_per_dim
from flowgmm_jax.errors import InputError
from flowgmm_jax.models.base import Model
from flowgmm_jax.models.door import as_array, as_mask, check_shape


def in_raw_units(model: Model, preprocessing: Preprocessing | None, size: int) -> Model:
    """A model of standardised vectors (B, D), D = ``size``, whose densities are those of the raw
    ones: log p(x) = log p(x') - log |dx/dx'|. The loss is the same."""
    if preprocessing is None or not preprocessing.scale or not model.log_density:
        return model
    log_volume = preprocessing.log_volume

    def loss(params, batch, key, step):
        value, metrics = model.loss(params, batch, key, step)
        if "bits_per_dim" in metrics:
            more = bits_per_dim(jnp.float32(-log_volume), size)
            metrics = {**metrics, "bits_per_dim": metrics["bits_per_dim"] + more}
        return value, metrics

    def in_units(log_density: Callable | None) -> Callable | None:
        return log_density and (lambda params, x: log_density(params, x) - log_volume)

    return model._replace(
        loss=loss,
        class_log_density=in_units(model.class_log_density),
        log_density=in_units(model.log_density),
        log_density_estimate=in_units(model.log_density_estimate),
    )


def taking_raw(model: Model, preprocessing: Preprocessing, shape: tuple[int, ...]) -> Model:
    """The model with raw examples in place of preprocessed ones, as inputs and as results.

    Arrays of numpy are preprocessed in float64 on the host, exactly as in training; what JAX traces
    (``jit``, ``grad``) is preprocessed in its own precision. Results of ``decode`` and ``sample``
    are float64 arrays of numpy where nothing is traced, since a raw vector may need the digits.

    Args:
      model: of preprocessed examples, with densities ``in_raw_units``.
      preprocessing: of its training.
      shape: of a preprocessed example.
    """
    prepare, restore = (
        (_vectors(preprocessing, shape), _raw_vectors(preprocessing))
        if preprocessing.scale
        else (_images(preprocessing, shape), _raw_images(preprocessing))
    )

    def of_examples(function: Callable | None) -> Callable | None:
        return function and (lambda params, x: function(params, prepare(x)))

    def to_examples(function: Callable | None) -> Callable | None:
        return function and (lambda *args, **kwargs: restore(function(*args, **kwargs)))

    def infill(params, key, x, is_known, *args, **kwargs):
        is_known = _layout(as_mask(is_known, np.shape(x)), preprocessing, shape)
        return restore(model.infill(params, key, prepare(x), is_known, *args, **kwargs))

    return model._replace(
        preprocessing=preprocessing,
        class_log_density=of_examples(model.class_log_density),
        log_density=of_examples(model.log_density),
        log_density_estimate=of_examples(model.log_density_estimate),
        encode=of_examples(model.encode),
        decode=to_examples(model.decode),
        sample=to_examples(model.sample),
        infill=model.infill and infill,
    )


def _vectors(preprocessing: Preprocessing, shape: tuple[int, ...]) -> Callable:
    def prepare(x):
        if isinstance(x, jax.Array):
            check_shape(x, shape)
            dtype = jnp.promote_types(x.dtype, jnp.float32)
            centre, scale = (jnp.array(a, dtype) for a in preprocessing[:2])
            return (x.astype(dtype) - centre) / scale
        x = as_array(x, "x")
        check_shape(x, shape)
        return host.standardised(x, preprocessing)

    return prepare


def _raw_vectors(preprocessing: Preprocessing) -> Callable:
    def restore(x):
        if isinstance(x, jax.core.Tracer):
            centre, scale = (jnp.array(a, x.dtype) for a in preprocessing[:2])
            return x * scale + centre
        return host.unstandardised(np.asarray(x), preprocessing)

    return restore


def _layout(x: jax.Array, preprocessing: Preprocessing, shape: tuple[int, ...]) -> jax.Array:
    """Images as (B, H, W, C)."""
    if x.ndim == 3 and shape[-1] == 1:
        return x[..., None]
    if preprocessing.channels_first and x.ndim == 4:
        return x.transpose(0, 2, 3, 1)
    return x


def _images(preprocessing: Preprocessing, shape: tuple[int, ...]) -> Callable:
    def prepare(x):
        x = _layout(as_array(x, "x"), preprocessing, shape)
        if preprocessing.unit:  # True is white
            levels = x.astype(jnp.promote_types(x.dtype, jnp.float32)) * (LEVELS - 1)
            return (levels if isinstance(x, jax.Array) else np.round(levels)) + 0.5
        if preprocessing.image_size and x.shape[1:] != shape and x.ndim == 4:
            return _scaled(x, preprocessing.image_size)
        return x

    return prepare


def _raw_images(preprocessing: Preprocessing) -> Callable:
    def restore(x):
        if preprocessing.unit:
            x = (x - 0.5) / (LEVELS - 1)
        return x.transpose(0, 3, 1, 2) if preprocessing.channels_first else x

    return restore


def _scaled(x: np.ndarray | jax.Array, image_size: int) -> np.ndarray:
    from PIL import Image

    if isinstance(x, jax.core.Tracer) or x.dtype != np.uint8 or x.shape[-1] not in (1, 3):
        raise InputError(
            f"x is {x.dtype} {x.shape}: expected uint8 images, which are scaled outside of jit, or "
            f"images of {image_size} x {image_size} pixels"
        )
    images = (Image.fromarray(a[..., 0] if a.shape[-1] == 1 else a) for a in np.asarray(x))
    result = np.stack([np.asarray(scaled(image, image_size)) for image in images])
    return result if result.ndim == 4 else result[..., None]
