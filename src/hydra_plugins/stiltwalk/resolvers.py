"""Register Stiltwalk with Hydra, which imports the modules of `hydra_plugins` (`plugins_path` in .dvc/config)."""

from stiltwalk.config.resolver import ConfFolder, register

__all__ = ["ConfFolder"]  # Hydra looks for plugins among the names of this module

register()
