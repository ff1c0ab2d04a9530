"""The pretrained encoder: fetched from the hub, or pretrained here on the generated world.

    python src/encoder.py

It is written as a checkpoint like that of every step, with an empty set of probe heads. Data stages read its tokenizer
from a folder of its own.
"""

from stiltwalk.utils.process import prepare_stage

if __name__ == "__main__":
    prepare_stage()

import shutil
from importlib import import_module
from pathlib import Path

from stiltwalk.models.resume import Resume
from stiltwalk.utils.files import atomic_dir, write_json
from stiltwalk.utils.locations import TOKENIZER, WORLD, read_world
from stiltwalk.utils.params import read_params
from stiltwalk.utils.stage import run_stage

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
BUILDERS = {"hub": "stiltwalk.data.hub.encoder", "world": "stiltwalk.miniworld.encoder.pretrain"}


def main() -> None:
    params, code = read_params("encoder", "plan.encoder_code")
    builder = import_module(BUILDERS[params["source"]])
    resume = Resume("encoder", params, [code.removeprefix("src/")], [WORLD])
    with atomic_dir(Path("models/0-encoder")) as folder:
        facts = builder.build(folder / "encoder", params | {"world": read_world()}, resume)
        write_json([], folder / "probe_heads/index.json")  # no step has left a head yet (models/probe_heads.py)
        with atomic_dir(TOKENIZER) as tokenizer:
            for name in TOKENIZER_FILES:
                shutil.copyfile(folder / "encoder" / name, tokenizer / name)
    write_json(facts, Path("data/sources/encoder.json"))
    resume.remove()
    print("encoder: " + ", ".join(f"{name} {value}" for name, value in facts.items()))


if __name__ == "__main__":
    run_stage(main)
