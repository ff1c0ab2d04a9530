"""The hub's source without a hub: places, filters, samples and parts of splits."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from folder_hub import NLI, FolderHub, record_of, text_pairs, use_folder_hub
from stiltwalk.data.hub import source
from stiltwalk.data.hub.layout import split_files
from stiltwalk.tasks.base_data.kind_rows import ConvertedRows
from stiltwalk.utils.errors import InputError


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FolderHub:
    return use_folder_hub(tmp_path, monkeypatch)


def test_a_missing_column_is_named_with_its_key(hub: FolderHub):
    hub.put(text_pairs([0]))
    record = record_of("pair", NLI)
    record["train"]["columns"]["text_b"] = "hypothesis"
    with pytest.raises(InputError, match=r"tasks\.mnli\.train: columns\.text_b: .*'hypothesis'.*text_a, text_b, label"):
        source.read("mnli", record, "train")


def test_where_selects_a_language_and_samples_stay_parallel(hub: FolderHub):
    n = 40
    rows = text_pairs([0, 1] * n)
    rows["language"] = ["german"] * n + ["swahili"] * n
    rows["label"][n + 8] = -1
    rows["text_a"] = [f"{i}" for i in range(n)] * 2
    hub.put(rows)
    codes = {"de": "german", "sw": "swahili"}
    record = record_of("pair", NLI, "test", where={"language": "{language}"}, codes=codes)
    record |= {"languages": ["de", "sw"], "sample": {"test": 30, "seed": 7}}
    german, swahili = (source.read("xnli", record, "test", language) for language in ("de", "sw"))
    expected = sorted(np.random.default_rng(7).permutation(n)[:30])
    assert german[0]["text_a"].to_pylist() == [str(i) for i in expected]
    assert 8 in expected  # so Swahili lacks a row of German, and has another one instead
    common = set(german[0]["text_a"].to_pylist()) & set(swahili[0]["text_a"].to_pylist())
    assert len(common) == 29 and swahili[1]["rows_used"] == 30 and swahili[1]["rows_read"] == n
    with pytest.raises(InputError, match=r"xtreme\.xnli\.test: codes has no language 'fr'; it has de, sw"):
        source.read("xnli", record, "test", "fr")


def test_a_number_of_rows_other_than_the_published_one_is_reported_once(
    hub: FolderHub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(source, "_warned_places", set())
    hub.put(text_pairs([0, 1]))
    for _ in range(2):
        source.read("mnli", record_of("pair", NLI, published=392702), "train")
    assert capsys.readouterr().err == "warning: a/b (all), train has 2 rows; its authors publish 392,702\n"


def test_a_split_without_usable_rows_is_refused(hub: FolderHub):
    hub.put(text_pairs([-1, -1]))
    with pytest.raises(InputError, match=r"tasks\.mnli\.train: none of its 2 rows can be used: unlabelled"):
        source.read("mnli", record_of("pair", NLI), "train")


def test_several_places_are_concatenated_and_parts_do_not_overlap(hub: FolderHub):
    hub.put(text_pairs([0, 1, -1, 2]))
    place = record_of("pair", NLI)["train"]
    many = record_of("pair", NLI) | {"train": [place, {**place, "split": "train[1:]"}]}
    table, origin = source.read("anli_plus", many, "train")
    assert table["text_a"].to_pylist() == ["a0", "a1", "a3", "a1", "a3"]
    assert [part["rows_read"] for part in origin["parts"]] == [4, 3] and origin["rows_used"] == 5
    held_out = source.read("tydiqa", record_of("pair", NLI) | {"train": {**place, "split": "train[:1]"}}, "train")[0]
    assert held_out["text_a"].to_pylist() == ["a0"]
    with pytest.raises(InputError, match=r"split 'train\[x\]' is neither"):
        source.read("x", record_of("pair", NLI) | {"train": {**place, "split": "train[x]"}}, "train")


def test_a_value_with_a_star_selects_values_that_begin_with_it(hub: FolderHub):
    rows = text_pairs([0, 1, 2]) | {"key": ["english-1", "engl", "german-english-"]}
    hub.put(rows)
    record = record_of("pair", NLI, "test", where={"key": "{language}-*"}, codes={"en": "english"}, published={"en": 9})
    table, origin = source.read("tydiqa", record | {"languages": ["en"]}, "test", "en")
    assert table["text_a"].to_pylist() == ["a0"] and origin["rows_published"] == 9


def test_split_files_follow_the_card_or_the_layout_of_the_hubs_conversions():
    card = {
        "configs": [
            {"config_name": "mnli", "data_files": [{"split": "train", "path": ["mnli/train-*"]}]},
            {"config_name": "qqp", "data_files": [{"split": "train", "path": "qqp/train.csv"}]},
        ]
    }
    shards = ["mnli/train-00000-of-00002.parquet", "mnli/train-00001-of-00002.parquet"]
    files = [shards[1], "README.md", "qqp/train.csv", shards[0], "mnli/test-00000-of-00001.parquet"]
    assert split_files("g/lue", files, card, "mnli", "train") == shards
    with pytest.raises(InputError, match=r"g/lue has no config 'mnl' \(name\); it has mnli, qqp"):
        split_files("g/lue", files, card, "mnl", "train")
    with pytest.raises(InputError, match=r"g/lue \(mnli\) has no split 'dev'; it has train"):
        split_files("g/lue", files, card, "mnli", "dev")
    with pytest.raises(InputError, match=r"g/lue, qqp/train\.csv is not parquet"):
        split_files("g/lue", files, card, "qqp", "train")
    converted = ["default/test/0000.parquet", "default/train/0000.parquet"]
    assert split_files("c/qa", converted, {}, "default", "train") == converted[1:]


def test_rows_are_taken_from_more_parts_than_one_column_can_hold():
    """pyarrow joins the chunks of a column before it takes rows from it, and a text column holds at most 2 GB."""
    parts = [
        ConvertedRows(pa.table({"text": pa.array(texts, pa.string())}))
        for texts in (["a", "b", "c"], [], ["d"], ["e", "f"])
    ]
    joined = source.join(parts)
    taken = []
    for rows in ([0, 2, 3, 5], [4], [], [0, 1, 2, 3, 4, 5]):
        table = source.take(parts, np.array(rows, np.int64))
        assert table["text"].to_pylist() == joined.table["text"].take(pa.array(rows, pa.int64())).to_pylist()
        taken.append(table["text"].num_chunks)
    assert max(taken) > 1  # never joined
