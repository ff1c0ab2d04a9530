"""Run a command whose stages start in a process that has imported torch and transformers already.

    python src/warm.py dvc exp run -S 'order=[mnli,squad]'

The results are the same bytes. The small stages of the scale `mini` start seconds faster.
"""

import os
import sys

from stiltwalk.warm import call, warm_stages

if __name__ == "__main__":
    if not sys.argv[1:]:
        sys.exit("error: no command; for example, run python src/warm.py dvc exp run")
    with warm_stages() as variables:
        status = call(sys.argv[1:], os.environ | variables)
    sys.exit(status)
