"""The pretrained encoder: of the hub, or pretrained here on the generated world.

python src/encoder.py
"""

from importlib import import_module
from pathlib import Path

from stiltwalk.models.resume import Resume
from stiltwalk.utils.stage import WORLD, read_params, read_world, run_stage, whole_folder, write_json


def main() -> None:
    params, world = read_params("encoder"), read_world()
    source = params["source"]
    builder = import_module(f"encoders.{source}")
    resume = Resume("encoder", params, (f"encoders/{source}.py", f"sources/{source}"), [WORLD])
    with whole_folder(Path("models/encoder")) as folder:
        facts = builder.build(folder, params | {"world": world}, resume)
    write_json(facts, Path("data/sources/encoder.json"))
    resume.remove()
    print("encoder: " + ", ".join(f"{name} {value}" for name, value in facts.items()))


if __name__ == "__main__":
    run_stage(main)
