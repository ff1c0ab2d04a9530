"""One XTREME task: English rows to tune on, tests in every language without their gold, and the gold apart.

python src/xtreme.py xnli
"""

from stiltwalk.utils.process import prepare_stage

if __name__ == "__main__":
    prepare_stage()

import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from stiltwalk.tasks.base_data.kind_rows import load_rows
from stiltwalk.tasks.base_data.row_tokenizer import SubwordTokenizer
from stiltwalk.tasks.base_data.sources import Source, load_source
from stiltwalk.tasks.base_data.token_files import tokenize_folder
from stiltwalk.utils.files import atomic_dir, write_json
from stiltwalk.utils.locations import TOKENIZER, read_world
from stiltwalk.utils.params import read_params
from stiltwalk.utils.stage import run_stage


def main(target: str) -> None:
    record, options = read_params(f"plan.targets.{target}.data", f"plan.targets.{target}.tokens")
    record |= {"world": read_world()}
    subwords = SubwordTokenizer(TOKENIZER)
    source, is_mining = load_source(record["source"]), record["kind"] == "mining"
    write = write_corpora if is_mining else write_rows
    with atomic_dir(Path("data/xtreme") / target) as folder, atomic_dir(Path("data/labels") / target) as labels:
        origins = write(target, record, source, folder, labels)
        count = tokenize_folder(folder, options, subwords)
    notes = {"notes": record["notes"]} if record.get("notes") else {}
    write_json(origins | notes, Path("data/sources/xtreme") / f"{target}.json")
    languages = source.target_languages(record)
    print(f"{target}: {'corpora' if is_mining else 'tests'} in {len(languages)} languages: {' '.join(languages)}")
    print(f"{target}: {count:,} tokens")


def write_rows(target: str, record: dict[str, Any], source: Source, folder: Path, labels: Path) -> dict[str, Any]:
    """Write English rows to tune on and tests in every language; return where all of them came from."""
    rows = load_rows(record["kind"])
    origins: dict[str, Any] = {"test": {}}
    for split in () if record["kind"] == "retrieval" else ("train", "validation"):
        table, origins[split] = source.read(target, record, split)
        rows.write(table, folder / f"{split}.parquet")
    for language in tqdm(source.target_languages(record), desc=f"{target} tests", unit="language"):
        table, origins["test"][language] = source.read(target, record, "test", language)
        rows.check_test(table, f"{target} test in {language}")
        inputs, gold = rows.split_gold(table)
        rows.write(inputs, folder / f"test-{language}.parquet", gold=False)
        (labels / f"test-{language}.{rows.label_suffix}").write_text(gold, encoding="utf-8")
    return origins


def write_corpora(target: str, record: dict[str, Any], source: Source, folder: Path, labels: Path) -> dict[str, Any]:
    """Write corpora to tune the threshold on and to test it on; return where all of them came from."""
    rows = load_rows("mining")
    origins: dict[str, Any] = {"validation": {}, "test": {}}
    for language in tqdm(source.target_languages(record), desc=f"{target} corpora", unit="language"):
        for split in ("validation", "test"):
            table, pairs, origins[split][language] = source.read_pairs(target, record, split, language)
            rows.write(table, folder / f"{split}-{language}.parquet")
            gold = (folder if split == "validation" else labels) / f"{split}-{language}.tsv"
            gold.write_text("".join(f"{one}\t{other}\n" for one, other in pairs), encoding="utf-8")
    return origins


if __name__ == "__main__":
    run_stage(main, *sys.argv[1:])
