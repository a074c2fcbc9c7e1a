"""Seconds that a trained model takes to draw images.

    python benchmarks/sampling.py WORKDIR [IMAGES]

WORKDIR is that of a run; IMAGES, 100 unless given, are drawn at once, as many of each class. Prints
the time of the first call, which compiles, and of each of five more.
"""

import sys
import time

import jax
import jax.numpy as jnp

import flowgmm_jax as fg


def main() -> None:
    model, params = fg.load(sys.argv[1])
    number = int(sys.argv[2]) if len(sys.argv) > 2 else 100
    labels = jnp.arange(number) % len(model.classes)
    sample = jax.jit(model.sample)

    def seconds(seed: int) -> float:
        start = time.perf_counter()
        jax.block_until_ready(sample(params, jax.random.key(seed), labels))
        return time.perf_counter() - start

    first, *others = [seconds(seed) for seed in range(6)]
    print(f"{number} images: {first:.1f} s with compilation, then")
    print(" ".join(f"{value:.2f}" for value in others), "s")


if __name__ == "__main__":
    main()
