"""Observing the maps that a flow applies, without the maps knowing about it.

The combinators of ``bijector.py`` apply other bijectors by ``apply`` and ``scan``. Outside
``observing`` these are a plain call and ``jax.lax.scan``, and leave no trace in a compiled program.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import jax

_observer: ContextVar[tuple[Callable | None, list]] = ContextVar("observer", default=(None, []))


@contextmanager
def observing(look: Callable | None) -> Iterator[list]:
    """Gives a list of ``look(bijector, params, x, z, log_det)``, pytrees of arrays, one for each
    elementary map (one that applies no other) that is applied inside, in this order.

    ``look`` is traced once for all steps of a ``repeat``.
    """
    seen = []
    token = _observer.set((look, seen))
    try:
        yield seen
    finally:
        _observer.reset(token)


def observed() -> bool:
    """Whether this call happens inside ``observing``."""
    return _observer.get()[0] is not None


def apply(bijector: Any, params: Any, x: Any) -> tuple[Any, jax.Array]:
    """``bijector.forward(params, x)``."""
    look, seen = _observer.get()
    before = len(seen)
    z, log_det = bijector.forward(params, x)
    if look and len(seen) == before:
        seen.append(look(bijector, params, x, z, log_det))
    return z, log_det


def scan(body: Callable, carry: Any, xs: Any, reverse: bool = False) -> Any:
    """The last carry of ``jax.lax.scan``; ``body`` is ``(carry, x) -> carry``."""
    look, seen = _observer.get()

    def observed_body(carry, x):
        with observing(look) as of_step:  # values of this trace leave it as outputs
            return body(carry, x), of_step

    carry, of_steps = jax.lax.scan(observed_body, carry, xs, reverse=reverse)
    for i in range(len(jax.tree.leaves(xs)[0])):
        seen += jax.tree.map(lambda leaf, i=i: leaf[i], of_steps)
    return carry
