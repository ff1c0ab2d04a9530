"""How a stage that trains is started: as one process, or as several by Accelerate."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from stiltwalk.utils.stage import end_with_parent, run_stage

LAUNCH = "STILTWALK_LAUNCH"


def launch(main: Callable[..., None], *arguments: str) -> None:
    """Run a script's main function in this process; or, where STILTWALK_LAUNCH names a file, in Accelerate's.

    The file is one of launch/, or any that `accelerate config --config_file` wrote. It says where a stage runs, not
    what it computes, and so is no parameter of the stage. (`accelerate launch` alone would also read the user's own
    default file, and starts every stage a second later.)
    """
    config = os.environ.pop(LAUNCH, None)
    if config is None:
        run_stage(main, *arguments)
    elif not Path(config).is_file():
        sys.exit(f"error: {LAUNCH}={config}: there is no such file; see launch/")
    else:
        end_with_parent()
        os.execvp("accelerate", ["accelerate", "launch", "--config_file", config, *sys.argv])
