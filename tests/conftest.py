"""Settings of every test: two virtual CPU devices unless the environment says otherwise, and few
examples of hypothesis unless HYPOTHESIS_PROFILE is "long"."""

import os
import sys
from pathlib import Path

from hypothesis import HealthCheck, settings

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_ENABLE_COMPILATION_CACHE", "false")  # nothing from an earlier run
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "2")

sys.path.insert(0, str(Path(__file__).parents[1]))  # for configs/, which is not installed

COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("short", max_examples=25, derandomize=True, database=None, **COMMON)
settings.register_profile("long", max_examples=1000, print_blob=True, **COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "short"))
