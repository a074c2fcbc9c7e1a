"""The door of a model: what people pass to its functions, as these take it, or one line.

The functions of a model are written for arrays of the right shape and type. Here anything else is
made such an array, where its meaning is plain, and refused where it is not.
"""

import math
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flowgmm_jax.data.base import Info
from flowgmm_jax.errors import InputError
from flowgmm_jax.models.base import Model, Params
from flowgmm_jax.models.infill import DRAWS


def guarded(model: Model) -> Model:
    """The model with functions that check what they are given.

    Examples x are (B, *model.shape), real numbers of any type: integers and truth values are taken
    at the centres of their bins if they are images, numbers of less than 32 bits as float32. B may
    be 0. Parameters are taken in the precision of the examples if that is higher than their own.
    Labels of ``sample`` are integers 0 to K - 1, in an array or a list; under ``jit``, where they
    cannot be seen, the sample of another label is NaN.

    Args:
      model: of examples of any batch size; its ``info`` says what they are.

    Returns:
      A model whose functions raise InputError, in one line, for anything else, and warn of images
      that seem to be scaled to [0, 1].
    """
    info = model.info

    def of_examples(function: Callable | None) -> Callable | None:
        def checked(params, x):
            x = _examples(params, x, info)
            return _of_any_size(partial(function, _as_floats(params, x.dtype)), x)

        return function and checked

    def init(key, x, y):
        x = _examples((), x, info)
        y = as_array(y, "y")
        if not len(x) or y.shape != (len(x),):
            raise InputError(
                f"y has shape {y.shape}, expected one label of each of {len(x)} examples"
            )
        return model.init(key, x, y)

    def decode(params, z):
        z = _floats(params, as_array(z, "z"))
        if z.ndim != 2 or z.shape[1] != info.size:
            raise InputError(f"z has shape {z.shape}, expected (batch, {info.size})")
        return _of_any_size(partial(model.decode, _as_floats(params, z.dtype)), z)

    def sample(params, key, labels, temperature=1.0):
        labels, is_class = _labels(labels, info.num_classes)
        _check_temperature(temperature)
        params = _as_floats(params, _precision(params, jnp.float32))
        x = _of_any_size(lambda labels: model.sample(params, key, labels, temperature), labels)
        if is_class is None:
            return x
        return jnp.where(is_class.reshape(-1, *[1] * (x.ndim - 1)), x, jnp.nan)

    def infill(params, key, x, is_known, labels, draws=DRAWS):
        x = _examples(params, x, info)
        labels, is_class = _labels(labels, info.num_classes)
        if labels.shape != x.shape[:1]:
            raise InputError(f"labels have shape {labels.shape}, expected ({len(x)},), as x")
        if not isinstance(draws, int) or draws < 1:
            raise InputError(f"draws is {draws!r}, expected an integer of at least 1")
        is_known = as_mask(is_known, x.shape)
        params = _as_floats(params, x.dtype)
        filled = model.infill(params, key, x, is_known, labels, draws) if len(x) else x
        if is_class is None:
            return filled
        return jnp.where(is_class.reshape(-1, *[1] * (x.ndim - 1)), filled, jnp.nan)

    return model._replace(
        init=init,
        class_log_density=of_examples(model.class_log_density),
        log_density=of_examples(model.log_density),
        log_density_estimate=of_examples(model.log_density_estimate),
        encode=of_examples(model.encode),
        decode=model.decode and decode,
        sample=model.sample and sample,
        infill=model.infill and infill,
    )


def as_array(values: Any, name: str) -> jax.Array | np.ndarray:
    """An array of real numbers; one of JAX as it is."""
    if not isinstance(values, jax.Array):
        try:
            values = np.asarray(values)
        except ValueError:  # of lists of different lengths
            raise InputError(f"{name} is no array: expected entries of one shape") from None
        values = values.astype(values.dtype.newbyteorder("="), copy=False)
    if not (values.dtype == bool or jnp.issubdtype(values.dtype, jnp.number)) or (
        jnp.issubdtype(values.dtype, jnp.complexfloating)
    ):
        raise InputError(f"{name} is {values.dtype}, expected real numbers")
    return values


def check_shape(x: jax.Array | np.ndarray, shape: tuple[int, ...]) -> None:
    """Raises InputError for examples x that are not (batch, *shape)."""
    if x.ndim != len(shape) + 1 or x.shape[1:] != shape:
        expected = ", ".join(map(str, shape))
        raise InputError(f"x has shape {x.shape}, expected (batch, {expected})")


def _examples(params: Params, x: Any, info: Info) -> jax.Array:
    x = as_array(x, "x")
    check_shape(x, info.shape)
    is_float = jnp.issubdtype(x.dtype, jnp.floating)
    x = _floats(params, x)
    if len(info.shape) != 3:
        return x
    if not is_float:
        return x + 0.5
    is_known = x.size and not isinstance(x, jax.core.Tracer)
    if info.levels > 2 and is_known and x.min() >= 0 and x.max() <= 1:
        warnings.warn(
            f"all values of x lie in [0, 1]: this model counts grey levels, 0 to {info.levels}",
            stacklevel=3,
        )
    return x


def _floats(params: Params, x: jax.Array | np.ndarray) -> jax.Array:
    """Numbers of the precision of the parameters, or of their own if that is higher."""
    own = x.dtype if jnp.issubdtype(x.dtype, jnp.floating) else jnp.float32
    own = jax.dtypes.canonicalize_dtype(own)
    return jnp.asarray(x, _precision(params, own))


def _precision(params: Params, dtype: Any) -> Any:
    """The highest of float32, ``dtype`` and that of the parameters."""
    leaves = [a.dtype for a in jax.tree.leaves(params) if jnp.issubdtype(a.dtype, jnp.floating)]
    return jnp.result_type(jnp.float32, dtype, *leaves)


def _as_floats(params: Params, dtype: Any) -> Params:
    """Parameters of that precision: float32 ones would round the log-determinant of doubles, and
    what factorises matrices knows no bfloat16."""

    def cast(leaf):
        is_other = leaf.dtype != dtype and jnp.issubdtype(leaf.dtype, jnp.floating)
        return leaf.astype(dtype) if is_other else leaf

    return jax.tree.map(cast, params)


def _of_any_size(function: Callable, x: jax.Array) -> jax.Array:
    """``function(x)``, which need not be able to take an empty batch."""
    if x.shape[0] != 0:  # which may be a symbol, of an export
        return function(x)
    one = jax.eval_shape(function, jax.ShapeDtypeStruct((1, *x.shape[1:]), x.dtype))
    return jnp.zeros((0, *one.shape[1:]), one.dtype)


def _labels(labels: Any, num_classes: int) -> tuple[jax.Array, jax.Array | None]:
    """Labels int32 (B,), and which of them are classes if that cannot be checked here."""
    labels = as_array(labels, "labels") if np.size(labels) else np.zeros(np.shape(labels), np.int32)
    is_integer = jnp.issubdtype(labels.dtype, jnp.integer)
    if labels.ndim != 1 or not is_integer:
        raise InputError(f"labels are {labels.dtype} {labels.shape}, expected integers (batch,)")
    is_class = (labels >= 0) & (labels < num_classes)
    if isinstance(labels, jax.core.Tracer):
        return labels, is_class
    if not is_class.all():
        odd = int(labels[np.argmin(is_class)])
        raise InputError(f"labels have {odd}, expected 0 to {num_classes - 1}")
    return jnp.asarray(labels, jnp.int32), None


def as_mask(is_known: Any, shape: tuple[int, ...]) -> jax.Array:
    """Which pixels of examples of that shape are known, of truth values that broadcast to it."""
    is_known = as_array(is_known, "is_known")
    if is_known.dtype != bool:
        raise InputError(f"is_known is {is_known.dtype}, expected truth values")
    try:
        return jnp.broadcast_to(is_known, shape)
    except ValueError:
        raise InputError(
            f"is_known has shape {is_known.shape}, expected one that broadcasts to {shape}"
        ) from None


def _check_temperature(temperature: Any) -> None:
    if isinstance(temperature, jax.core.Tracer):
        return
    temperature = as_array(temperature, "temperature")
    if temperature.size != 1 or not 0 <= float(temperature) < math.inf:
        raise InputError(f"temperature is {temperature}, expected a number of at least 0")
