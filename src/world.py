"""The generated world's seed and languages, for all that is made of it; nothing where the data are the hub's.

python src/world.py
"""

from stiltwalk.utils.stage import WORLD, read_params, run_stage, write_json


def main() -> None:
    world = read_params("world")
    write_json(world, WORLD)
    print(f"world: {' '.join(world['languages']) if world else 'none'}")


if __name__ == "__main__":
    run_stage(main)
