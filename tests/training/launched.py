"""A training of test_loop.py in the processes that STILTWALK_LAUNCH says.

Apart from it, so that what starts the processes imports little, and not torch.
"""

import sys

from stiltwalk.training.launch import launch


def main() -> None:
    from test_loop import process

    process(*sys.argv[1:])


if __name__ == "__main__":
    launch(main)
