"""Settings of every test: two virtual CPU devices unless the environment says otherwise, and few
examples of hypothesis unless HYPOTHESIS_PROFILE is "long"."""

import gc
import os
import shutil
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from hypothesis import HealthCheck, settings

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Compiling takes most of the time of small tests, running next to none.
FLAGS = [
    "--xla_backend_optimization_level=0",
    "--xla_llvm_disable_expensive_passes=true",
    "--xla_cpu_parallel_codegen_split_count=1",
]
if version("jaxlib").startswith("0.10."):  # later ones abort at the flag, which they do not have
    FLAGS.append("--xla_cpu_use_fusion_emitters=false")
os.environ.setdefault("XLA_FLAGS", " ".join(FLAGS))
# Programs, however small, are compiled once for all processes of a session, those that tests start
# too, and nothing is kept for another session.
IS_FIRST = "JAX_COMPILATION_CACHE_DIR" not in os.environ
if IS_FIRST:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="flowgmm_jax-")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "2")

# JAX's traces are many objects that stay: looking for garbage among them takes 5% of the time.
gc.set_threshold(10_000, 20, 50)

sys.path.insert(0, str(Path(__file__).parents[1]))  # of a checkout that is not installed

COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("short", max_examples=25, derandomize=True, database=None, **COMMON)
settings.register_profile("long", max_examples=1000, print_blob=True, **COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "short"))


def pytest_unconfigure():
    if IS_FIRST:
        shutil.rmtree(os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)
