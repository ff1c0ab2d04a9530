"""No credential in the file of DVC's settings that Git tracks: experiments commit it, and sharing them pushes it."""

import re
import sys
from pathlib import Path

from dvc.config import Config

from stiltwalk.utils.errors import InputError

TRACKED = Path(".dvc/config")
OWN = "give it `dvc remote modify --local`, which writes to .dvc/config.local, and take it out of here"
SECRET = re.compile(
    r"(?!ask_).*(secret.*|password|passphrase|token|connection_string|access_key_id|(account|customer)_key)"
)


def check_credentials(path: Path = TRACKED) -> None:
    """InputError where an option of a remote is a credential, or its URL holds a password; its value is not shown."""
    settings = Config.load_file(str(path)) if path.is_file() else {}
    for name, options in settings.get("remote", {}).items():
        for key, value in options.items():
            if SECRET.fullmatch(key) or re.search(r"://[^/]*:[^/]*@", str(value)):
                raise InputError(f"{path}: remote {name}: {key} holds a credential, which would be committed; {OWN}")


if __name__ == "__main__":  # for pre-commit
    try:
        check_credentials()
    except InputError as error:
        sys.exit(f"error: {error}")
