"""One XTREME task: English rows to tune on, tests without their gold in every language, and the gold apart.

python src/xtreme.py xnli
"""

import json
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from stiltwalk.tasks.tables import GOLD, write_table
from stiltwalk.utils.errors import InputError
from stiltwalk.utils.stage import read_params, read_world, run_stage, whole_folder, write_json


def main(target: str) -> None:
    record = read_params(f"benchmark.{target}.data") | {"world": read_world()}
    source, kind = import_module(f"sources.{record['source']}"), record["kind"]
    notes = {"notes": record["notes"]} if record.get("notes") else {}
    with whole_folder(Path("data/xtreme") / target) as folder, whole_folder(Path("data/labels") / target) as labels:
        if kind == "mining":
            origins = write_corpora(target, record, source, folder, labels)
        else:
            origins = write_rows(target, record, source, folder, labels)
    write_json(origins | notes, Path("data/sources/xtreme") / f"{target}.json")
    what = "corpora" if kind == "mining" else "tests"
    print(f"{target}: {what} in {len(record['languages'])} languages: {' '.join(record['languages'])}")


def write_rows(
    target: str, record: dict[str, Any], source: ModuleType, folder: Path, labels: Path
) -> dict[str, dict[str, Any]]:
    """The English rows to tune on, and the tests of every language; the gold of the latter apart."""
    kind = record["kind"]
    origins: dict[str, dict[str, Any]] = {"test": {}}
    for split in () if kind == "retrieval" else ("train", "validation"):
        table, origins[split] = source.read(target, record, split)
        write_table(table, folder / f"{split}.parquet", kind)
    for language in tqdm(record["languages"], desc=f"{target} tests", unit="language"):
        table, origins["test"][language] = source.read(target, record, "test", language)
        check_questions(table, kind, f"{target} test in {language}")
        inputs, gold, suffix = split_gold(table, kind)
        write_table(inputs, folder / f"test-{language}.parquet", kind, gold=False)
        (labels / f"test-{language}.{suffix}").write_text(gold, encoding="utf-8")
    return origins


def write_corpora(
    target: str, record: dict[str, Any], source: ModuleType, folder: Path, labels: Path
) -> dict[str, dict[str, Any]]:
    """Corpora of every language to tune the threshold on and to test it on; the gold pairs of the latter apart."""
    origins: dict[str, dict[str, Any]] = {"validation": {}, "test": {}}
    for language in tqdm(record["languages"], desc=f"{target} corpora", unit="language"):
        for split in ("validation", "test"):
            table, pairs, origins[split][language] = source.pairs(target, record, split, language)
            write_table(table, folder / f"{split}-{language}.parquet", "mining")
            gold = (folder if split == "validation" else labels) / f"{split}-{language}.tsv"
            gold.write_text("".join(f"{one}\t{other}\n" for one, other in pairs), encoding="utf-8")
    return origins


def check_questions(table: pa.Table, kind: str, where: str) -> None:
    """InputError where scoring would refuse questions, hours later: it knows answers by id, and needs a right one."""
    if kind != "qa":
        return
    seen: set[str] = set()
    for name, answers in zip(table["id"].to_pylist(), table["answers"].to_pylist(), strict=True):
        if name in seen or not answers["text"]:
            fault = "stands twice" if name in seen else "has no right answer"
            raise InputError(f"{where}: question {name[:80]!r} {fault}")
        seen.add(name)


def split_gold(table: pa.Table, kind: str) -> tuple[pa.Table, str, str]:
    """What may be seen for prediction, and the gold as the text of XTREME's label file with its suffix."""
    if kind == "retrieval":
        # As XTREME: the English side is sorted, and the label of its line k is the row of k's translation.
        english = table["target"].to_pylist()
        order = np.array(sorted(range(len(english)), key=english.__getitem__), np.int64)
        inputs = table.set_column(table.schema.get_field_index("target"), "target", table["target"].take(order))
        return inputs, "".join(f"{row}\n" for row in order), "tsv"
    gold = table[GOLD[kind]].to_pylist()
    inputs = table.drop_columns([GOLD[kind]])
    if kind == "pair":
        return inputs, "".join(f"{label}\n" for label in gold), "tsv"
    if kind == "tagging":
        return inputs, "\n".join("".join(f"{tag}\n" for tag in tags) for tags in gold), "tsv"
    paragraphs = [
        {
            "context": row["context"],
            "qas": [
                {
                    "id": row["id"],
                    "question": row["question"],
                    "answers": [
                        {"text": text, "answer_start": start}
                        for text, start in zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True)
                    ],
                }
            ],
        }
        for row in table.to_pylist()
    ]
    squad = {"version": "1.1", "data": [{"title": "", "paragraphs": paragraphs}]}
    return inputs, json.dumps(squad, ensure_ascii=False, indent=1) + "\n", "json"


if __name__ == "__main__":
    run_stage(main, *sys.argv[1:])
