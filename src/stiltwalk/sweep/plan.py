"""A sweep: which orders with which seeds, what each experiment is called, and the parameters that it composes."""

import copy
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

from dvc.utils.hydra import compose_and_dump
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from tqdm import tqdm

from stiltwalk.sweep.designs import controls, make_orders
from stiltwalk.sweep.trie import Order, branches, depth_first, prefixes
from stiltwalk.utils.errors import InputError
from stiltwalk.utils.stage import read_yaml

Group: TypeAlias = tuple[int, list[Order]]


@dataclass(frozen=True)
class Sweep:
    """Orders times seeds, under the same settings (`-S` overrides of conf/)."""

    orders: list[Order]
    """Of the design, controls after them; depth first."""
    controls: list[Order]
    """Which of them are controls."""
    seeds: list[int]
    overrides: list[str]
    prefix: str = ""
    """Of the experiments' names, so that sweeps under several settings can stand beside each other."""
    root: Path = field(default=Path(), repr=False)

    @classmethod
    def make(
        cls,
        tasks: Sequence[str],
        design: str,
        seeds: Sequence[int],
        wanted: Sequence[str],
        overrides: Sequence[str] = (),
        prefix: str = "",
        root: Path = Path(),
    ) -> "Sweep":
        """The sweep of a design with the controls wanted; InputError where one of the words is not known."""
        orders = make_orders(design, tasks)
        more = controls(orders, tasks, wanted)
        if not seeds or len(set(seeds)) != len(seeds):
            raise InputError(f"seeds={list(seeds)} must be one or more distinct whole numbers")
        for override in overrides:
            if override.split("=")[0].lstrip("+~") in ("order", "seed"):
                raise InputError(
                    f"-S {override!r}: the sweep itself sets order and seed; say them by --tasks and --seeds"
                )
        return cls(depth_first([*orders, *more]), more, list(seeds), list(overrides), prefix, root)

    def name(self, order: Order, seed: int) -> str:
        """`mnli-squad-s1`; `none-s1` without any step."""
        return f"{self.prefix}{'-'.join(order) or 'none'}-s{seed}"

    def arguments(self, order: Order, seed: int) -> list[str]:
        """What `dvc exp run` gets."""
        sets = [*self.overrides, f"order=[{','.join(order)}]", f"seed={seed}"]
        return [word for override in sets for word in ("-S", override)]

    @cached_property
    def params(self) -> dict[Order, dict[str, Any]]:
        """By order the parameters that an experiment composes, with the first seed.

        A bad override or an unknown task ends the program here, in one line, as in `dvc exp run`.
        """
        found = {}
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "params.yaml"
            for order in tqdm(self.orders, "composing", unit="order", disable=len(self.orders) < 20):
                sets = self.arguments(order, self.seeds[0])[1::2]
                try:
                    compose_and_dump(
                        out,
                        str((self.root / "conf").resolve()),
                        None,
                        "config",
                        str((self.root / "src").resolve()),
                        sets,
                    )
                except (HydraException, OmegaConfBaseException) as error:
                    raise InputError(f"-S {' -S '.join(sets)}: {str(error).strip().splitlines()[0]}") from None
                found[order] = read_yaml(out.read_text(encoding="utf-8"))
        return found

    def params_of(self, order: Order, seed: int) -> dict[str, Any]:
        """The parameters of one experiment."""
        params = copy.copy(self.params[order])
        params["seed"] = seed
        return params

    @cached_property
    def groups(self) -> list[Group]:
        """Seeds and orders, in groups no two of which share a training: what may run at the same time."""
        return [(seed, group) for seed in self.seeds for group in branches(self.orders)]

    @property
    def trainings(self) -> int:
        return len(self.seeds) * len(prefixes(self.orders))

    @property
    def steps(self) -> int:
        return len(self.seeds) * sum(map(len, self.orders))
