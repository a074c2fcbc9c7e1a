"""Compiled programs that outlive the process: the second start of a config does not compile."""

import os

import jax


def keep_compiled_programs() -> None:
    """Keeps compiled programs in ``JAX_COMPILATION_CACHE_DIR``, else in the user's cache directory.

    JAX finds a program again by all that it depends on, so a stale one is never used, and warns and
    goes without where the directory cannot be written. Of several processes, process 0 writes.
    ``JAX_ENABLE_COMPILATION_CACHE=false`` switches it off. Before the first computation.
    """
    if not jax.config.jax_compilation_cache_dir:
        root = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        jax.config.update("jax_compilation_cache_dir", os.path.join(root, "flowgmm_jax"))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        # JAX's default, 1 s, would leave out the many small programs of a start.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
