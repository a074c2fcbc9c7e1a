"""Backpropagation through invertible steps in memory that does not grow with their number.

Ordinary backpropagation keeps what every step computed. Of invertible steps f_1 ... f_n it is
enough to keep the last event: going back, the event before a step is its inverse, and its gradients
are those of the step at that event (Gomez et al. 2017, "The Reversible Residual Network",
https://arxiv.org/abs/1707.04585, section 3.2):

    x_{i-1} = f_i^{-1}(x_i),    dL/dx_{i-1}, dL/dparams_i = the vector-Jacobian product of f_i.

That costs an inverse and a second forward pass of every step. The recomputed events differ from
the first ones by the rounding errors of the inverse.
"""

from collections.abc import Callable

import jax
import numpy as np


def from_output(scan: Callable, step: Callable, n: int) -> Callable:
    """The ``scan`` of n steps, ``(params, x) -> (z, log_det)``, with gradients from its output.

    It is for params and events of floating arrays and steps ``(i) -> Bijector`` that close over
    nothing that is differentiated, and has no forward-mode derivative (jvp, jacfwd).
    """

    @jax.custom_vjp
    def reversible_scan(params, x):
        return scan(params, x)

    def scan_forward(params, x):
        z, log_det = scan(params, x)
        return (z, log_det), (params, z)

    def scan_backward(residuals, cotangents):
        params, z = residuals
        z_bar, log_det_bar = cotangents  # log-determinants add up: each step has the same cotangent

        def body(carry, index_and_params):
            (z, z_bar), (i, params_i) = carry, index_and_params
            x, _ = step(i).inverse(params_i, z)
            _, pull_back = jax.vjp(step(i).forward, params_i, x)
            params_bar, x_bar = pull_back((z_bar, log_det_bar))
            return (x, x_bar), params_bar

        (_, x_bar), params_bar = jax.lax.scan(
            body, (z, z_bar), (np.arange(n), params), reverse=True
        )
        return params_bar, x_bar

    reversible_scan.defvjp(scan_forward, scan_backward)
    return reversible_scan
