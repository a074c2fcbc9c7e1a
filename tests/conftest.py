"""Settings of every test: two virtual CPU devices unless the environment says otherwise."""

import os
import sys
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
DEVICES = "--xla_force_host_platform_device_count"
if DEVICES not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {DEVICES}=2".strip()

sys.path.insert(0, str(Path(__file__).parents[1]))  # for configs/, which is not installed
