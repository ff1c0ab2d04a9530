"""Tables between stages: one parquet file per split."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from stiltwalk.utils.errors import InputError


def read_table(path: Path) -> pa.Table:
    """Read a parquet file. Raises InputError if it is missing or broken."""
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path} cannot be read as parquet: {str(error).splitlines()[0]}") from None
