"""Downloads a set and prepares it for reading without TensorFlow; needs TensorFlow itself.

pip install "flowgmm_jax[prepare]"
python -m flowgmm_jax.data.prepare mnist --data_dir=~/tensorflow_datasets
"""

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

from flowgmm_jax.data import tfds

NAMES = [name for name in tfds.INFO if name not in tfds.TEST_ONLY]


def prepare(name: str, data_dir: Path) -> None:
    """Downloads one of ``NAMES`` and prepares it as ArrayRecord files.

    Raises:
      ModuleNotFoundError: TensorFlow is not installed.
    """
    if importlib.util.find_spec("tensorflow") is None:
        raise ModuleNotFoundError(
            f"preparing {name} needs TensorFlow (reading it later does not): "
            'pip install "flowgmm_jax[prepare]"'
        )
    import tensorflow_datasets

    builder = tensorflow_datasets.builder(
        name, data_dir=data_dir.expanduser(), file_format="array_record"
    )
    builder.download_and_prepare()


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description="Download and prepare a data set.")
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--data_dir", type=Path, default=tfds.root_of(""))
    options = parser.parse_args(arguments)
    try:
        prepare(options.name, options.data_dir)
    except ModuleNotFoundError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
