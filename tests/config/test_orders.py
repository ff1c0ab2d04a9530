"""Orders: which are refused, and what follows from the others."""

from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from laboratory import compose
from stiltwalk.config.orders import check_order, check_targets, checkpoint_keys, step_keys
from stiltwalk.config.plan import plan_steps
from stiltwalk.utils.errors import InputError

ROOT = Path(__file__).parents[2]
KNOWN = ["mnli", "squad", "qqp"]
KINDS = {"mnli": "pair", "squad": "qa", "qqp": "pair"}
PAIR, QA, ALL_KINDS = (f"src/stiltwalk/tasks{path}" for path in ("/pair/head", "/qa/head", ""))


def test_each_step_starts_from_the_one_before():
    steps = plan_steps(["mnli", "mnli+qqp", "squad+mnli", "mnli"], KINDS, "float32")
    assert {key: asdict(step) for key, step in steps.items()} == {
        "1-mnli": {
            "start": "0-encoder",
            "mixture": "mnli",
            "prefix": "mnli",
            "dtype": "float32",
            "head_code": PAIR,
            "probe_code": PAIR,
        },
        "2-mnli+qqp": {
            "start": "1-mnli",
            "mixture": "mnli+qqp",
            "prefix": "mnli/mnli+qqp",
            "dtype": "float32",
            "head_code": PAIR,
            "probe_code": PAIR,
        },
        "3-squad+mnli": {
            "start": "2-mnli+qqp",
            "mixture": "squad+mnli",
            "prefix": "mnli/mnli+qqp/squad+mnli",
            "dtype": "float32",
            "head_code": ALL_KINDS,
            "probe_code": ALL_KINDS,
        },
        "4-mnli": {
            "start": "3-squad+mnli",
            "mixture": "mnli",
            "prefix": "mnli/mnli+qqp/squad+mnli/mnli",
            "dtype": "float32",
            "head_code": PAIR,
            "probe_code": ALL_KINDS,
        },
    }


def test_checkpoints_are_the_pretrained_encoder_and_one_per_step():
    assert step_keys(["mnli", "squad+qqp"]) == ["1-mnli", "2-squad+qqp"]
    assert checkpoint_keys(["mnli", "squad+qqp"]) == ["0-encoder", "1-mnli", "2-squad+qqp"]


def test_an_empty_order_keeps_the_pretrained_encoder():
    assert plan_steps([], KINDS, "float32") == {} and step_keys([]) == [] and checkpoint_keys([])[-1] == "0-encoder"


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
def test_the_message_about_a_bad_order_lists_the_tasks(order, message):
    with pytest.raises(InputError, match=message) as error:
        check_order(order, KNOWN)
    assert "the tasks are mnli, qqp, squad" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (["xnil"], r"unknown target 'xnil'; the targets are udpos, xnli"),
        ([["xnli"]], r"unknown target \['xnli'\]; the targets are udpos, xnli"),
        ([None], r"unknown target None; the targets are udpos, xnli"),
        (["xnli", "xnli"], "names 'xnli' twice"),
        ("xnli", r"targets='xnli' is not a list; write 'targets=\[xnli,udpos\]' \(the targets are udpos, xnli\)"),
    ],
)
def test_a_bad_target_is_named(targets, message):
    with pytest.raises(InputError, match=message):
        check_targets(targets, {"xnli": {}, "udpos": {}})


def test_a_lexical_task_is_alone_in_its_step():
    kinds = KINDS | {"tli": "lexical"}
    assert plan_steps(["tli"], kinds, "float32")["1-tli"].head_code == "src/stiltwalk/tasks/lexical/head"
    with pytest.raises(InputError, match=r"the joint step 'mnli\+tli'; tli, a lexical task, freezes the encoder"):
        plan_steps(["mnli+tli"], kinds, "float32")


def test_retention_needs_the_heads_of_all_tasks_so_far():
    steps = plan_steps(["mnli", "qqp", "squad"], KINDS, "bfloat16")
    assert [(step.head_code, step.probe_code) for step in steps.values()] == [
        (PAIR, PAIR),
        (PAIR, PAIR),
        (QA, ALL_KINDS),
    ]
    stage = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["retention"]
    assert stage["foreach"] == "${plan.steps}"
    assert {"${item.probe_code}", "models/${key}"} <= set(stage["do"]["deps"])


def test_the_trajectory_has_every_checkpoint_if_tatoeba_is_a_target(tmp_path):
    def trajectory(*overrides: str) -> list[str]:
        return compose(tmp_path / "params.yaml", *overrides)["plan"]["trajectory"]

    assert trajectory("order=[mnli,squad]", "targets=[xnli,tatoeba]") == ["0-encoder", "1-mnli", "2-squad"]
    assert trajectory("order=[]", "targets=[tatoeba]") == ["0-encoder"]
    assert trajectory("order=[mnli,squad]", "targets=[xnli]") == trajectory("order=[]", "targets=[xnli]") == []
