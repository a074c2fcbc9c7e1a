"""Parameters in a file of their own: safetensors, which other tools and languages read.

Needs the extra ``export``.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from flowgmm_jax.errors import InputError, require
from flowgmm_jax.files import write_new
from flowgmm_jax.models.base import Params


def _by_name(params: Params) -> dict[str, jax.Array]:
    """The leaves by their places in the tree, such as ``flow/0/scale``."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(params)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def save_params(path: str | Path, params: Params) -> None:
    """Writes parameters, a pytree of arrays, as a new file; its names are the places in the tree.

    Raises:
      InputError: if the file exists.
      ModuleNotFoundError: without the extra ``export``.
    """
    require("safetensors", "export")
    from safetensors.flax import save

    arrays = {name: jnp.asarray(leaf) for name, leaf in _by_name(params).items()}
    write_new(Path(path), save(arrays))


def load_params(path: str | Path, like: Params) -> Params:
    """Parameters that ``save_params`` wrote.

        like = jax.eval_shape(model.init, key, x, y)
        params = fg.load_params("moons.safetensors", like)

    Args:
      path: of the file.
      like: a pytree of their structure, shapes and types: other parameters, or ``eval_shape``'s.

    Raises:
      InputError: for a file that cannot be read or holds other parameters, in one line.
    """
    require("safetensors", "export")
    from safetensors import SafetensorError
    from safetensors.flax import load_file

    try:
        found = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: cannot be read as safetensors ({error})") from error
    expected = _by_name(like)
    if odd := sorted(found.keys() ^ expected.keys()):
        has, lacks = (" not", "") if odd[0] in expected else ("", " not")
        raise InputError(
            f"{path} does{has} hold {odd[0]}, which the model does{lacks} have: expected the "
            f"parameters of this model, {len(expected)} arrays"
        )
    for name, leaf in expected.items():
        if found[name].shape != leaf.shape or found[name].dtype != leaf.dtype:
            raise InputError(
                f"{path}: {name} is {found[name].dtype} {found[name].shape}, expected "
                f"{np.dtype(leaf.dtype)} {leaf.shape}"
            )
    return jax.tree.unflatten(jax.tree.structure(like), [found[name] for name in expected])
