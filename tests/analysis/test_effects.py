"""The statistics of a sweep as a whole: what goes in, what is missing, and what cannot be estimated."""

import json

import pandas as pd
import pytest

from simulate import KINDS, THREE, simulate_all_orders
from stiltwalk.analysis.effects import kendalls_w, order_effects
from stiltwalk.utils.errors import InputError


def analyse(scores, validation):
    study = order_effects(scores, validation, THREE, KINDS, draws=99)
    json.dumps(study, allow_nan=False)
    return study


def test_the_sequence_of_rows_does_not_matter():
    scores, validation = simulate_all_orders(controls=["", "mnli", "null", "mnli+squad"], order_sd=1)
    scores = scores.drop(index=[3, 30])
    shuffled = analyse(scores.sample(frac=1, random_state=1), validation.sample(frac=1, random_state=2))
    assert shuffled == analyse(scores, validation)


def test_a_cell_that_lacks_a_language_is_missing():
    scores, validation = simulate_all_orders(controls=[""])
    row = scores[(scores.order == "") & (scores.seed == 2) & (scores.target == "udpos") & (scores.language == "de")]
    study = analyse(scores.drop(index=row.index), validation)
    assert study["design"]["missing"] == [{"order": [], "seed": 2, "target": "udpos"}]
    assert study["design"]["cells"] == {"present": 83, "expected": 84}
    baseline = next(entry for entry in study["orders"] if not entry["steps"])
    assert [baseline["scores"][target]["n"] for target in ("udpos", "xnli", "all")] == [2, 3, 2]


@pytest.mark.parametrize(
    "rows", ["seed == 1", "target == 'xnli'", "order == ''", "order == 'mnli,squad,hellaswag'", "seed > 9"]
)
def test_statistics_that_cannot_be_estimated_are_null(rows):
    scores, validation = simulate_all_orders(controls=["", "mnli"])
    study = analyse(scores.query(rows), validation.query(rows))
    for target in study["variance"]["targets"].values():
        assert (target["p"] is None) == ("target" not in rows)
    analyse(scores.query(rows).sample(frac=0.4, random_state=3), validation[:0])


def test_concordance_is_kendalls_w():
    ranks = pd.DataFrame([[1, 2, 1], [2, 1, 3], [3, 3, 2], [4, 4, 4]], columns=["a", "b", "c"])
    spread = ((ranks.sum(axis=1) - 7.5) ** 2).sum()
    assert kendalls_w(ranks)["w"] == pytest.approx(12 * spread / (3**2 * (4**3 - 4)))


def test_ambiguous_tables_are_refused():
    scores, validation = simulate_all_orders()
    baseline_as_nan = scores.assign(order=scores.order.mask(scores.seed == 1))
    with pytest.raises(InputError, match=r"scores has NaN in its column 'order'; .* keep_default_na=False"):
        order_effects(baseline_as_nan, validation, THREE, KINDS)
    with pytest.raises(InputError, match=r"scores has two scores for \(.*\); remove one"):
        order_effects(pd.concat([scores, scores[:1]]), validation, THREE, KINDS)
    crossed = scores.assign(order="b", seed=1, target="xnli", language="de", score=0.0)[:2]
    crossed = pd.concat([crossed, crossed.assign(order="a", seed=2)])
    with pytest.raises(InputError, match=r"scores has two scores for \(a, 2, xnli, de\); remove one"):
        order_effects(crossed, validation, THREE, KINDS)
    with pytest.raises(InputError, match="validation has no column 'seed'; it needs the columns order, seed, target"):
        order_effects(scores, validation.drop(columns="seed"), THREE, KINDS)
    with pytest.raises(InputError, match=r"tasks=\['mnli'\] has no orders to compare; name at least two tasks"):
        order_effects(scores, validation, THREE[:1], KINDS)
