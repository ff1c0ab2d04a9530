"""Keep credentials out of .dvc/config: Git tracks it, experiments commit it, and sharing an experiment pushes it."""

import re
import sys
from pathlib import Path

from dvc.config import Config

from stiltwalk.utils.errors import InputError

TRACKED = Path(".dvc/config")
REMEDY = "remove it there and set it with `dvc remote modify --local`, which writes to .dvc/config.local"
CREDENTIAL_OPTION = re.compile(
    r"(?!ask_).*(secret.*|password|passphrase|token|connection_string|access_key_id|(account|customer)_key)"
)
URL_WITH_PASSWORD = re.compile(r"://[^/]*:[^/]*@")


def check_credentials(path: Path = TRACKED) -> None:
    """Raise InputError if an option of a remote is a credential or a URL with a password. Its value is not shown."""
    config = Config.load_file(str(path)) if path.is_file() else {}
    for name, options in config.get("remote", {}).items():
        for key, value in options.items():
            if CREDENTIAL_OPTION.fullmatch(key) or URL_WITH_PASSWORD.search(str(value)):
                raise InputError(f"{path}: remote {name}: {key} holds a credential, which Git would commit; {REMEDY}")


if __name__ == "__main__":  # run by pre-commit
    try:
        check_credentials()
    except InputError as error:
        sys.exit(f"error: {error}")
