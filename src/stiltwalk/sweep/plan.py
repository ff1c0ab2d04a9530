"""A sweep: which orders with which seeds, what each experiment is called, and the parameters that it composes."""

import copy
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from dvc.utils.hydra import compose_and_dump
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from tqdm import tqdm

from stiltwalk.sweep.designs import make_controls, make_orders
from stiltwalk.sweep.trie import Order, depth_first, prefixes
from stiltwalk.utils.errors import InputError
from stiltwalk.utils.params import read_yaml


@dataclass(frozen=True)
class Sweep:
    """Orders times seeds, under the same settings (`-S` overrides of conf/)."""

    orders: list[Order]
    """The orders of the design and its controls, depth first."""
    controls: list[Order]
    """Those of the orders that are controls."""
    seeds: list[int]
    overrides: list[str]
    prefix: str = ""
    """Begins the names of the experiments, so that sweeps under several settings can coexist."""
    root: Path = field(default=Path(), repr=False)

    @classmethod
    def make(
        cls,
        tasks: Sequence[str],
        design: str,
        seeds: Sequence[int],
        control_names: Sequence[str],
        overrides: Sequence[str] = (),
        prefix: str = "",
        root: Path = Path(),
    ) -> "Sweep":
        """Return the sweep of a design and its controls. Raises InputError if a name is unknown or ambiguous."""
        orders = make_orders(design, tasks)
        controls = make_controls(orders, tasks, control_names)
        if not seeds or len(set(seeds)) != len(seeds):
            raise InputError(f"seeds={list(seeds)} must be one or more distinct whole numbers")
        for override in overrides:
            if override.split("=")[0].lstrip("+~") in ("order", "seed"):
                raise InputError(f"-S {override!r}: the sweep itself sets order and seed; use --tasks and --seeds")
        sweep = cls(depth_first([*orders, *controls]), controls, list(seeds), list(overrides), prefix, root)
        orders_by_name: dict[str, Order] = {}
        for order in sweep.orders:
            other = orders_by_name.setdefault(name := sweep.name(order, seeds[0]), order)
            if other != order:
                raise InputError(
                    f"the orders {list(other)} and {list(order)} would have the same experiment name '{name}'; "
                    "rename a task in conf/"
                )
        return sweep

    def name(self, order: Order, seed: int) -> str:
        """Return the name of an experiment: `mnli-squad-s1`, or `none-s1` without any step."""
        return f"{self.prefix}{'-'.join(order) or 'none'}-s{seed}"

    def arguments(self, order: Order, seed: int) -> list[str]:
        """Return the arguments of `dvc exp run`."""
        overrides = [*self.overrides, f"order=[{','.join(order)}]", f"seed={seed}"]
        return [word for override in overrides for word in ("-S", override)]

    @cached_property
    def params(self) -> dict[Order, dict[str, Any]]:
        """The parameters that the experiment of each order composes, with the first seed.

        A bad override or an unknown task ends the program in one line, as in `dvc exp run`.
        """
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "params.yaml"
            orders = tqdm(self.orders, "composing", unit="order", disable=len(self.orders) < 20)
            return {order: self._compose(order, file) for order in orders}

    def _compose(self, order: Order, file: Path) -> dict[str, Any]:
        overrides = self.arguments(order, self.seeds[0])[1::2]
        conf, plugins = (str((self.root / name).resolve()) for name in ("conf", "src"))
        try:
            compose_and_dump(file, conf, None, "config", plugins, overrides)
        except (HydraException, OmegaConfBaseException) as error:
            raise InputError(f"-S {' -S '.join(overrides)}: {str(error).strip().splitlines()[0]}") from None
        params: dict[str, Any] = read_yaml(file.read_text(encoding="utf-8"))
        return params

    def params_of(self, order: Order, seed: int) -> dict[str, Any]:
        """Return the parameters of one experiment."""
        params = copy.copy(self.params[order])
        params["seed"] = seed
        return params

    @property
    def trainings(self) -> int:
        """Distinct steps, each trained once."""
        return len(self.seeds) * len(prefixes(self.orders))

    @property
    def steps(self) -> int:
        """Steps of all experiments."""
        return len(self.seeds) * sum(map(len, self.orders))
