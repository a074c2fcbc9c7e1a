"""Observing the maps that a flow applies, without the maps knowing about it.

The combinators of ``bijector.py`` apply other bijectors by ``apply`` and ``scan``. Outside
``observe`` these are a plain call and ``jax.lax.scan``, and leave no trace in a compiled program.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import jax

# (bijector, params, x, z, log_det) -> a pytree of arrays
Look = Callable[[Any, Any, Any, Any, jax.Array], Any]


class _Observer(NamedTuple):
    look: Look
    seen: list


_observer: ContextVar[_Observer | None] = ContextVar("observer", default=None)


@contextmanager
def _observing(look: Look) -> Iterator[list]:
    observer = _Observer(look, [])
    token = _observer.set(observer)
    try:
        yield observer.seen
    finally:
        _observer.reset(token)


def observe(look: Look, bijector: Any, params: Any, x: Any) -> list:
    """Applies a bijector and looks at every elementary map in it, one that applies no other.

    Args:
      look: ``(bijector, params, x, z, log_det) -> pytree of arrays``, called with each elementary
        map, its parameters, its input and its output. Traced once for all steps of a ``repeat``.
      bijector: the flow.
      params: its parameters.
      x: an event.

    Returns:
      The results of ``look`` in the order in which the maps are applied. May be compiled.
    """
    with _observing(look) as seen:
        apply(bijector, params, x)
    return seen


def observed() -> bool:
    """Whether this call happens inside ``observe``."""
    return _observer.get() is not None


def apply(bijector: Any, params: Any, x: Any) -> tuple[Any, jax.Array]:
    """``bijector.forward(params, x)``."""
    observer = _observer.get()
    if observer is None:
        return bijector.forward(params, x)
    before = len(observer.seen)
    z, log_det = bijector.forward(params, x)
    if len(observer.seen) == before:
        observer.seen.append(observer.look(bijector, params, x, z, log_det))
    return z, log_det


def scan(body: Callable, carry: Any, xs: Any, reverse: bool = False) -> Any:
    """The last carry of ``jax.lax.scan``; ``body`` is ``(carry, x) -> carry``."""
    observer = _observer.get()
    if observer is None:
        return jax.lax.scan(lambda c, x: (body(c, x), None), carry, xs, reverse=reverse)[0]

    def observed_body(carry, x):
        with _observing(observer.look) as seen:  # values of this trace leave it as outputs
            return body(carry, x), seen

    carry, seen = jax.lax.scan(observed_body, carry, xs, reverse=reverse)
    for i in range(len(jax.tree.leaves(xs)[0])):
        observer.seen.extend(jax.tree.map(lambda leaf, i=i: leaf[i], seen))
    return carry
