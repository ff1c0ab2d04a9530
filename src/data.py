"""The rows and tokens of a mixture's tasks, from the hub, the user's own files or the generated world.

python src/data.py mnli+squad
"""

from stiltwalk.utils.process import prepare_stage

if __name__ == "__main__":
    prepare_stage()

import sys
from pathlib import Path
from typing import Any

from stiltwalk.tasks.base_data.kind_rows import load_rows, shuffle_gold
from stiltwalk.tasks.base_data.row_tokenizer import SubwordTokenizer
from stiltwalk.tasks.base_data.sources import load_source
from stiltwalk.tasks.base_data.token_files import tokenize_folder
from stiltwalk.utils.files import atomic_dir, write_json
from stiltwalk.utils.locations import TOKENIZER, read_world
from stiltwalk.utils.params import read_params
from stiltwalk.utils.stage import run_stage


def main(mixture: str) -> None:
    records, options = read_params(f"plan.mixtures.{mixture}.data", f"plan.mixtures.{mixture}.tokens")
    world, subwords = read_world(), SubwordTokenizer(TOKENIZER)
    origins: dict[str, dict[str, Any]] = {task: {} for task in records}
    with atomic_dir(Path("data/intermediate") / mixture) as folder:
        for task, record in records.items():
            source, rows = load_source(record["source"]), load_rows(record["kind"])
            (folder / task).mkdir()
            for split in ("train", "validation"):
                table, origins[task][split] = source.read(task, record | {"world": world}, split)
                if record.get("shuffled"):
                    table = shuffle_gold(table, rows, record["sample"]["seed"])
                rows.write(table, folder / task / f"{split}.parquet")
                print(f"{task} {split}: {len(table):,} rows")
            origins[task] |= {"notes": record["notes"]} if record.get("notes") else {}
            count = tokenize_folder(folder / task, options[task], subwords)
            print(f"{task}: {count:,} tokens")
    write_json(origins, Path("data/sources/intermediate") / f"{mixture}.json")


if __name__ == "__main__":
    run_stage(main, *sys.argv[1:])
