"""Compiled programs that outlive the process: the second start of a config does not compile."""

import os
from pathlib import Path

import jax


def keep_compiled_programs() -> None:
    """Keeps compiled programs in ``JAX_COMPILATION_CACHE_DIR``, else in the user's cache directory.

    JAX finds a program again by all that it depends on, so a stale one is never used, and goes
    without where the directory cannot be written. ``JAX_ENABLE_COMPILATION_CACHE=false`` switches
    it off. Before the first computation.
    """
    if not jax.config.jax_compilation_cache_dir:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(root / "flowgmm_jax"))
    # The many small programs of a start take longer together than the threshold lets one see.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
