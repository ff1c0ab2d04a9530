"""Hydra looks for plug-ins in a package of this name (`plugins_path` in .dvc/config); ours are stiltwalk.config.resolver."""

import stiltwalk.config.resolver  # noqa: F401
