"""Register Stiltwalk's resolvers: Hydra imports the modules of `hydra_plugins` (`plugins_path` in .dvc/config)."""

from stiltwalk.config.resolver import register

register()
