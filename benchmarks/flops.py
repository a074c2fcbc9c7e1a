"""What a program computes and sends, counted from its jaxpr.

XLA's cost analysis counts the body of a loop once, whatever its length; a flow is a scan over its
couplings.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn

# The second, of flowgmm_jax/flows/conv.py, has the features last.
CONVOLUTIONS = ("conv_general_dilated", "same_convolution_tangent")
COLLECTIVES = ("psum", "psum_invariant", "all_gather", "all_gather_invariant")


class Cost(NamedTuple):
    """What one device does.

    Attributes:
      flops: of matrix products and convolutions, two for a multiplication and an addition.
      sent_bytes: of the arrays that go into sums and gatherings over devices.
    """

    flops: float
    sent_bytes: float


def cost(function: Callable, *arguments: Any) -> Cost:
    """Of a call. A scan counts as often as it runs, of a conditional the most expensive branch, and
    the body of a while loop once: of ``train_steps``, one step."""
    return _of_jaxpr(jax.make_jaxpr(function)(*arguments).jaxpr)


def _of_jaxpr(jaxpr: Jaxpr) -> Cost:
    return _sum(map(_of_equation, jaxpr.eqns))


def _of_equation(equation: JaxprEqn) -> Cost:
    name, inner = equation.primitive.name, list(map(_of_jaxpr, _jaxprs(equation)))
    if name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        shape = equation.invars[0].aval.shape
        length = math.prod(shape[axis] for axis in contracted)
        return Cost(2.0 * equation.outvars[0].aval.size * length, 0.0)
    if name in CONVOLUTIONS:
        kernel = equation.invars[1].aval
        numbers = equation.params.get("dimension_numbers")
        features = kernel.shape[numbers.rhs_spec[0] if numbers else -1]
        return Cost(2.0 * equation.outvars[0].aval.size * kernel.size / features, 0.0)
    if name in COLLECTIVES:
        arrays = [variable.aval for variable in equation.invars]
        return Cost(0.0, float(sum(array.size * array.dtype.itemsize for array in arrays)))
    if name == "cond":
        return max(inner)
    times = equation.params["length"] if name == "scan" else 1
    total = _sum(inner)
    return Cost(times * total.flops, times * total.sent_bytes)


def _sum(costs) -> Cost:
    costs = list(costs)
    return Cost(sum(c.flops for c in costs), sum(c.sent_bytes for c in costs))


def _jaxprs(equation: JaxprEqn) -> Iterator[Jaxpr]:
    """The programs within an equation."""
    kinds = (Jaxpr, ClosedJaxpr)
    for value in equation.params.values():
        for found in jax.tree.leaves(value, is_leaf=lambda leaf: isinstance(leaf, kinds)):
            if isinstance(found, kinds):
                yield found.jaxpr if isinstance(found, ClosedJaxpr) else found
