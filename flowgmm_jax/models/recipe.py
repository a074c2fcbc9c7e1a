"""Models that are equal, and can be pickled, by what they were built from.

A function that is made inside another is equal only to itself: of a model that is loaded twice, JAX
would compile it twice, and pickle refuses it. Here it is the function of a name, of the model that
a recipe builds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import WeakValueDictionary

from flowgmm_jax.models.base import Model


@dataclass(frozen=True)
class Recipe:
    """``build(*arguments)``, a function of a module and arguments that can be hashed and pickled.

    Of equal recipes there is only one while anything of its model is in use (``recipe``).
    """

    build: Callable[..., Model]
    arguments: tuple

    @cached_property
    def built(self) -> Model:
        """What ``build`` returns."""
        return self.build(*self.arguments)

    @cached_property
    def model(self) -> Model:
        """The same, of functions that are equal if their recipes and names are."""
        functions = {
            name: FunctionOf(self, name)
            for name, value in self.built._asdict().items()
            if callable(value)
        }
        return self.built._replace(**functions)

    def __reduce__(self) -> tuple:
        return recipe, (self.build, *self.arguments)


@dataclass(frozen=True)
class FunctionOf:
    """The function of a model that has this name and was built by this recipe."""

    recipe: Recipe
    name: str

    @property
    def __wrapped__(self) -> Callable:  # gives it the signature, as of functools.wraps
        return getattr(self.recipe.built, self.name)

    @property
    def __name__(self) -> str:
        return self.name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.__wrapped__(*args, **kwargs)


_in_use: WeakValueDictionary = WeakValueDictionary()


def recipe(build: Callable[..., Model], *arguments: Any) -> Recipe:
    """The recipe of ``build(*arguments)``."""
    return _in_use.setdefault((build, arguments), Recipe(build, arguments))
