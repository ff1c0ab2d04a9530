"""The pretrained encoder: of the hub, or pretrained here on the generated world.

python src/encoder.py
"""

from importlib import import_module
from pathlib import Path

from common.stage import read_params, read_world, run_stage, whole_folder, write_json


def main() -> None:
    params, world = read_params("encoder"), read_world()
    builder = import_module(f"encoders.{params['source']}")
    with whole_folder(Path("models/encoder")) as folder:
        facts = builder.build(folder, params | {"world": world}, params["seed"])
        write_json(facts, folder / "SOURCE.json")
    print("encoder: " + ", ".join(f"{name} {value}" for name, value in facts.items()))


if __name__ == "__main__":
    run_stage(main)
