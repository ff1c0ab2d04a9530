"""Run the training of test_processes.py in the processes that STILTWALK_LAUNCH describes.

It is a file of its own so that the process that starts the others imports little, and not torch. The others start warm
if the environment says where.
"""

import os
import sys
from pathlib import Path

from stiltwalk.training.launch import launch
from stiltwalk.utils.process import prepare_stage


def main() -> None:
    sys.path.insert(1, str(Path(__file__).parents[1]))
    from test_processes import train_and_save

    train_and_save(*sys.argv[1:])


if __name__ == "__main__":
    if "RANK" in os.environ:
        prepare_stage()
    launch(main)
