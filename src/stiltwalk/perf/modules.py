"""Replace submodules of a model for a while: what every speed-up that needs other modules is built on."""

import contextlib
from collections.abc import Callable, Iterator

from torch import nn


@contextlib.contextmanager
def swapped_modules(model: nn.Module, substitute: Callable[[nn.Module], nn.Module | None]) -> Iterator[None]:
    """Use other submodules within the block, and put the original ones back afterwards.

    substitute: returns the module to use instead of a submodule, or None to keep it. A substitute shares the parameters
    of the original, so that the model's weights, their names and their order stay the same.
    """
    originals = dict(model.named_modules())
    substitutes = {name: new for name, module in originals.items() if (new := substitute(module)) is not None}
    for name, new in substitutes.items():
        new.train(originals[name].training)
        model.set_submodule(name, new)
    try:
        yield
    finally:
        for name, new in substitutes.items():
            originals[name].train(new.training)
            model.set_submodule(name, originals[name])
