"""An order, what follows from it, and orders that are refused."""

import pytest

from stiltwalk.config.orders import chain, check_order, check_targets, checkpoints, probes
from stiltwalk.utils.errors import InputError

KNOWN = ["mnli", "squad", "qqp"]
KINDS = {"mnli": "pair", "squad": "qa", "qqp": "pair"}


def test_each_step_starts_from_the_one_before():
    steps = chain(["mnli", "mnli+qqp", "squad+mnli", "mnli"], KINDS, "float32")
    assert steps == {
        "1-mnli": {
            "mixture": "mnli",
            "prefix": "mnli",
            "init": "models/encoder",
            "kept": "src/intermediate.py",
            "code": "src/kinds/pair.py",
            "layers": "metrics/steps/1-mnli.json",
            "weights": "float32",
        },
        "2-mnli+qqp": {
            "mixture": "mnli+qqp",
            "prefix": "mnli/mnli+qqp",
            "init": "models/1-mnli/encoder",
            "kept": "models/1-mnli/kept",
            "code": "src/kinds/pair.py",
            "layers": "metrics/steps/2-mnli+qqp.json",
            "weights": "float32",
        },
        "3-squad+mnli": {
            "mixture": "squad+mnli",
            "prefix": "mnli/mnli+qqp/squad+mnli",
            "init": "models/2-mnli+qqp/encoder",
            "kept": "models/2-mnli+qqp/kept",
            "code": "src/kinds",
            "layers": "metrics/steps/3-squad+mnli.json",
            "weights": "float32",
        },
        "4-mnli": {
            "mixture": "mnli",
            "prefix": "mnli/mnli+qqp/squad+mnli/mnli",
            "init": "models/3-squad+mnli/encoder",
            "kept": "models/3-squad+mnli/kept",
            "code": "src/kinds/pair.py",
            "layers": "metrics/steps/4-mnli.json",
            "weights": "float32",
        },
    }


def test_no_intermediate_task_leaves_the_pretrained_encoder():
    assert chain([], KINDS, "float32") == {} and checkpoints([])[-1] == "models/encoder"


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ("mnli", "order='mnli' is not a list"),
        (None, "order=None is not a list"),
        ({"mnli": 1}, "is not a list"),
        ([1], "the step 1, which is not the name of a task"),
        ([["mnli"]], "which is not the name of a task"),
        (["mnli", "sqaud"], "unknown task 'sqaud' in its step 'sqaud'"),
        (["mnli+"], "the step 'mnli\\+' with an empty part"),
        ([""], "with an empty part"),
        (["mnli+qqp+mnli"], "names 'mnli' twice"),
        (["mnli; rm -rf ~"], "unknown task 'mnli; rm -rf ~'"),
    ],
)
def test_a_bad_order_is_named_with_the_tasks_there_are(order, message):
    with pytest.raises(InputError, match=message) as error:
        check_order(order, KNOWN)
    assert "the tasks are mnli, qqp, squad" in str(error.value) and "\n" not in str(error.value)


def test_a_bad_target_is_named():
    with pytest.raises(InputError, match=r"unknown target 'xnil'; the targets are udpos, xnli"):
        check_targets(["xnil"], ["xnli", "udpos"])
    with pytest.raises(InputError, match="names 'xnli' twice"):
        check_targets(["xnli", "xnli"], ["xnli", "udpos"])


def test_a_lexical_task_is_alone_in_its_step():
    kinds = KINDS | {"tli": "lexical"}
    assert chain(["tli"], kinds, "float32")["1-tli"]["layers"] == "metrics/trajectory/1-tli-pairs"
    with pytest.raises(InputError, match=r"the joint step 'mnli\+tli'; a lexical task freezes the encoder"):
        chain(["mnli+tli"], kinds, "float32")


def test_a_probe_builds_on_the_one_before():
    found = probes(["mnli", "squad"], retrieval=True)
    assert [found[key]["checkpoint"] for key in found] == checkpoints(["mnli", "squad"])
    assert [probe["before"] for probe in found.values()] == [
        "src/probe.py",
        "metrics/probes/0-encoder.json",
        "metrics/probes/1-mnli.json",
    ]
    assert [probe["kept"] for probe in found.values()] == ["src/probe.py", "models/1-mnli/kept", "models/2-squad/kept"]
    without = probes(["mnli"], retrieval=False)
    assert without.keys() == {"1-mnli"} and without["1-mnli"]["before"] == without["1-mnli"]["rows"] == "src/probe.py"
    assert probes([], retrieval=False) == {}
