"""Run the training of test_processes.py in the processes that STILTWALK_LAUNCH describes.

It is a file of its own so that the process that starts the others imports little, and not torch.
"""

import sys

from stiltwalk.training.launch import launch


def main() -> None:
    from test_processes import train_and_save

    train_and_save(*sys.argv[1:])


if __name__ == "__main__":
    launch(main)
