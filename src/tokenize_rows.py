"""The rows of a mixture as token ids: made once, for every order, step and seed that trains on them.

python src/tokenize_rows.py mnli+squad
"""

from stiltwalk.utils.process import prepare_stage

if __name__ == "__main__":
    prepare_stage()

import sys
from pathlib import Path

from stiltwalk.tasks.base_tokenize.files import tokenize_folder
from stiltwalk.tasks.base_tokenize.row_tokenizer import SubwordTokenizer
from stiltwalk.utils.files import atomic_dir
from stiltwalk.utils.params import read_params
from stiltwalk.utils.stage import run_stage


def main(mixture: str) -> None:
    tasks = read_params(f"plan.mixtures.{mixture}.tasks")
    subwords = SubwordTokenizer(Path("models/0-encoder/encoder"))
    with atomic_dir(Path("data/tokens/intermediate") / mixture) as folder:
        for task, options in tasks.items():
            count = tokenize_folder(Path("data/intermediate") / mixture / task, folder / task, options, subwords)
            print(f"{task}: {count:,} tokens")


if __name__ == "__main__":
    run_stage(main, *sys.argv[1:])
