"""The rows of a target as token ids: made once, for every order and seed that is scored on them.

python src/tokenize_xtreme.py xnli
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


def main(target: str) -> None:
    options = read_params(f"plan.targets.{target}.task")
    subwords = SubwordTokenizer(Path("models/0-encoder/encoder"))
    with atomic_dir(Path("data/tokens/xtreme") / target) as folder:
        count = tokenize_folder(Path("data/xtreme") / target, folder, options, subwords)
    print(f"{target}: {count:,} tokens")


if __name__ == "__main__":
    run_stage(main, *sys.argv[1:])
