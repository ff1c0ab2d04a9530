"""The records of tasks and targets in conf/."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from stiltwalk.tasks.base_data.kind_rows import load_rows

ROOT = Path(__file__).resolve().parents[2]


def read_records() -> list[tuple[str, str, dict[str, Any]]]:
    trees = [yaml.safe_load((ROOT / f"conf/{name}.yaml").read_text(encoding="utf-8")) for name in ("tasks", "xtreme")]
    return [(group, task, record) for tree in trees for group in tree for task, record in tree[group].items()]


@pytest.mark.parametrize(("group", "task", "record"), read_records())
def test_a_record_has_every_fact_that_its_kind_needs(group: str, task: str, record: dict[str, Any]):
    kind, languages = record["kind"], record.get("languages", [])
    splits = {"tasks": {"train", "validation"}, "xtreme": {"train", "validation", "test"}}[group]
    if record.get("own"):
        assert not set(record) & splits
        return
    splits = {"retrieval": {"test"}, "mining": {"validation", "test"}}.get(kind, splits)
    assert set(record) & {"train", "validation", "test"} == splits
    assert (kind in ("pair", "tagging", "choice")) == bool(record.get("labels"))
    places = [(split, facts) for split in splits & set(record) for facts in as_list(record[split])]
    for split, facts in places:
        assert facts["path"].count("/") == 1 and facts["revision"]
        if kind == "choice":
            assert {"prompt", "label"} < set(facts["columns"])
            assert set(facts["columns"]) - {"prompt", "label"} <= {"question", "stem", "choices"} | {
                f"choice{i}" for i in range(len(record["labels"]))
            }
        elif kind == "mining":
            assert set(facts["columns"]) == {"source", "target", "source_id", "target_id"}
        else:
            assert set(facts["columns"]) == set(load_rows(kind).schema.names)
        templated = "{language}" in json.dumps(facts)
        assert templated == (split == "test" or "each" in facts or kind == "mining")
        assert set(facts.get("codes", {})) in (set(), set(languages))
        published = facts.get("published", 1)  # nobody publishes the number of Wikipedia's articles
        assert set(published) == set(languages) if isinstance(published, dict) else published > 0


def as_list(facts: Any) -> list[dict[str, Any]]:
    return facts if isinstance(facts, list) else [facts]


def test_targets_have_the_languages_of_xtreme():
    languages_by_target = {task: record["languages"] for group, task, record in read_records() if group == "xtreme"}
    assert {task: len(set(languages)) for task, languages in languages_by_target.items()} == {
        "xnli": 15,
        "pawsx": 7,
        "udpos": 33,
        "panx": 40,
        "xquad": 11,
        "mlqa": 7,
        "tydiqa": 9,
        "bucc2018": 4,
        "bucc_goldpairs": 4,
        "tatoeba": 36,
    }
    assert sum(map(len, languages_by_target.values())) - len(languages_by_target["bucc_goldpairs"]) == 162
    assert all(languages == sorted(languages) for languages in languages_by_target.values())


def test_hydra_reads_the_same_records_as_a_yaml_parser():
    for name in ("tasks", "xtreme"):
        file = ROOT / f"conf/{name}.yaml"
        assert OmegaConf.to_container(OmegaConf.load(file), resolve=True) == yaml.safe_load(file.read_text("utf-8"))
