"""The rows of a target as numbers of tokens: made once, for every order and seed that is scored on them.

python src/encode_xtreme.py xnli
"""

import sys
from pathlib import Path

from stiltwalk.tasks.base_tokenize import Tokens
from stiltwalk.tasks.tokenized_files import encode_folder
from stiltwalk.utils.stage import read_params, run_stage, whole_folder


def main(target: str) -> None:
    options = read_params(f"benchmark.{target}.task")
    with whole_folder(Path("data/encoded/xtreme") / target) as folder:
        count = encode_folder(Path("data/xtreme") / target, folder, options, Tokens(Path("models/encoder")))
    print(f"{target}: {count:,} tokens")


if __name__ == "__main__":
    run_stage(main, *sys.argv[1:])
