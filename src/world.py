"""Write the seed and the languages of the generated world for the stages that read them; null on real data.

python src/world.py
"""

from stiltwalk.utils.process import prepare_stage

if __name__ == "__main__":
    prepare_stage()

from stiltwalk.utils.files import write_json
from stiltwalk.utils.locations import WORLD
from stiltwalk.utils.params import read_params
from stiltwalk.utils.stage import run_stage


def main() -> None:
    world = read_params("world")
    write_json(world, WORLD)
    print(f"world: {' '.join(world['languages']) if world else 'none'}")


if __name__ == "__main__":
    run_stage(main)
