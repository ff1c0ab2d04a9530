"""The rows of a mixture as numbers of tokens: made once, for every order, step and seed that trains on them.

python src/encode.py mnli+squad
"""

import sys
from pathlib import Path

from stiltwalk.tasks.base_tokenize import Tokens
from stiltwalk.tasks.tokenized_files import encode_folder
from stiltwalk.utils.stage import read_params, run_stage, whole_folder


def main(mixture: str) -> None:
    tasks = read_params(f"mixtures.{mixture}.tasks")
    tokens = Tokens(Path("models/encoder"))
    with whole_folder(Path("data/encoded/intermediate") / mixture) as folder:
        for task, options in tasks.items():
            count = encode_folder(Path("data/intermediate") / mixture / task, folder / task, options, tokens)
            print(f"{task}: {count:,} tokens")


if __name__ == "__main__":
    run_stage(main, *sys.argv[1:])
