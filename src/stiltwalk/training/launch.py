"""Start a stage that runs a model: as one process, or as several processes by Accelerate."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from stiltwalk.utils.stage import end_with_parent, run_stage

LAUNCH = "STILTWALK_LAUNCH"


def launch(main: Callable[..., None], *arguments: str) -> None:
    """Run a stage's main function in this process, or by `accelerate launch` if STILTWALK_LAUNCH names a file.

    The file is one of launch/, or one that `accelerate config --config_file` wrote. It says where a stage runs and not
    what it computes, so it is no parameter of the stage. `accelerate launch` is not used without a file: it would read
    the user's default file, and every stage would start a second later.
    """
    config = os.environ.pop(LAUNCH, None)
    if config is None:
        run_stage(main, *arguments)
    elif not Path(config).is_file():
        sys.exit(f"error: {LAUNCH}={config}: there is no such file; see launch/")
    else:
        end_with_parent()
        os.execvp("accelerate", ["accelerate", "launch", "--config_file", config, *sys.argv])
