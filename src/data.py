"""The rows of a mixture's intermediate tasks, from the hub or from the generated world.

python src/data.py mnli+squad
"""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from stiltwalk.tasks.tables import shuffle_gold, write_table
from stiltwalk.utils.stage import read_params, read_world, run_stage, whole_folder, write_json


def main(mixture: str) -> None:
    records, world = read_params(f"mixtures.{mixture}.data"), read_world()
    origins: dict[str, dict[str, Any]] = {task: {} for task in records}
    with whole_folder(Path("data/intermediate") / mixture) as folder:
        for task, record in records.items():
            source = import_module(f"sources.{record['source']}")
            (folder / task).mkdir()
            for split in ("train", "validation"):
                table, origins[task][split] = source.read(task, record | {"world": world}, split)
                if record.get("shuffled"):
                    table = shuffle_gold(table, record["kind"], record["sample"]["seed"])
                write_table(table, folder / task / f"{split}.parquet", record["kind"])
                print(f"{task} {split}: {len(table):,} rows")
    write_json(origins, Path("data/sources/intermediate") / f"{mixture}.json")


if __name__ == "__main__":
    run_stage(main, *sys.argv[1:])
