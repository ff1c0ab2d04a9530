"""Studies of simulated sweeps, as metrics/order_effects.json has them."""

from collections.abc import Callable, Sequence
from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd

from simulate import simulate
from stiltwalk.analysis.effects import order_effects
from stiltwalk.scoring.retention import retention_measures

THREE = ["mnli", "squad", "hellaswag"]
NINE = ["anli_plus", "mnli", "qqp", "squad", "squad2", "hellaswag", "ccg", "cosmosqa", "commonsenseqa"]
TARGETS = ["xnli", "pawsx", "udpos", "panx", "xquad", "mlqa", "tydiqa", "bucc2018", "tatoeba"]
KINDS = dict.fromkeys([*NINE, *TARGETS], "pair") | {"squad": "qa", "squad2": "qa", "xquad": "qa", "mlqa": "qa"}
KINDS |= {"hellaswag": "choice", "udpos": "tagging", "panx": "tagging", "ccg": "tagging", "null": "pair"}
LANGUAGES = (
    "ar bg de el en es fr hi ru sw th tr ur vi zh eu fi fa he hu id it ja jv ka kk ko ml mr ms my nl pt ta te tl"
)
LEAKS = {"xnli": ["mnli"], "xquad": ["squad"], "mlqa": ["squad"]}


def make_study(
    tasks: Sequence[str] = THREE,
    orders: Sequence[str] | None = None,
    controls: Sequence[str] = (),
    seeds: Sequence[int] = (1, 2, 3),
    targets: Sequence[str] = TARGETS,
    n_languages: int = 8,
    keep: Callable[[pd.DataFrame], pd.DataFrame] = lambda table: table,
    **effects: Any,
) -> dict[str, Any]:
    """Simulate a sweep and analyse it.

    orders: all permutations of the tasks unless given. keep: which rows of the tables of scores are there. effects: see
    `simulate`.
    """
    orders = orders or [",".join(order) for order in permutations(tasks)]
    rng = np.random.default_rng(0)
    languages = LANGUAGES.split()[:n_languages]
    scores, validation = map(keep, simulate(tasks, [*orders, *controls], seeds, targets, languages, rng=rng, **effects))
    study = order_effects(scores, validation, tasks, KINDS, draws=199)
    design = study["design"]
    design["targets"].sort(key=TARGETS.index)
    means = scores.groupby(["target", "order", "language"], sort=False)["score"].mean().round(6)
    chains = [order.split(",") for order in dict.fromkeys(scores["order"]) if order]
    return study | {
        "leaks": {target: LEAKS[target] for target in design["targets"] if target in LEAKS},
        "title": "Three tasks & their <orders>",
        "settings": {"scale": "mini", "encoder": "xlm-roberta-base", "training.epochs": 3},
        "experiments": scores[["order", "seed"]].drop_duplicates().shape[0],
        "languages": {
            target: {order: of.droplevel([0, 1]).to_dict() for order, of in table.groupby(level="order", sort=False)}
            for target, table in means.groupby(level="target", sort=False)
        },
        "retention": [make_retention(chain, rng, len(design["seeds"]) > 1) for chain in chains],
        "trajectory": [make_trajectory(chain, rng) for chain in chains],
        "runs": [{"name": "tawny-ibex", "order": chains[0], "seed": 1, "flags": ["diverged at 1-mnli"]}],
        "notes": [{"names": ["mnli", "xnli"], "lines": ["Source: a/b at 0123456789ab (mit)", "Rows read: 392,702"]}],
    }


def make_large_effects() -> dict[str, Any]:
    """All orders and controls of three tasks, which have large effects on nine targets."""
    position = {"mnli": [0, 0, 0], "squad": [0, 0, 1.5], "hellaswag": [0, 0, -0.5]}
    controls = ["", *THREE, "mnli+squad+hellaswag", "null"]
    return make_study(controls=controls, position=position, seed_sd=0.4, noise_sd=0.5)


def make_small_study(**options: Any) -> dict[str, Any]:
    """All orders of three tasks with three controls and two targets."""
    return make_study(
        controls=["", "mnli", "mnli+squad+hellaswag"], targets=["xnli", "tatoeba"], n_languages=3, **options
    )


def make_retention(order: list[str], rng: np.random.Generator, several_seeds: bool) -> dict[str, Any]:
    size = len(order)
    matrix = [[round(90 - 3 * (i - j) + rng.normal(), 2) if j <= i else None for j in range(size)] for i in range(size)]
    sd = 0.4 if several_seeds else None
    measures = {
        name: value if value is None else {"mean": value, "sd": sd}
        for name, value in retention_measures(matrix, [88.0] * size).items()
    }
    return {"order": order, "steps": number_steps(order), "matrix": matrix, "measures": measures}


def make_trajectory(order: list[str], rng: np.random.Generator) -> dict[str, Any]:
    layers = [[round(60 - 3 * i + 2 * k + rng.normal(), 2) for k in range(4)] for i in range(len(order) + 1)]
    return {"order": order, "checkpoints": ["0-encoder", *number_steps(order)], "layers": layers}


def number_steps(order: list[str]) -> list[str]:
    return [f"{position}-{step}" for position, step in enumerate(order, start=1)]
