"""Finds the configs."""

from pathlib import Path

import nas_lightning


def conf_folder() -> Path:
    """The folder of the configs: the checkout's if there is one, else the copy in the wheel."""
    package = Path(nas_lightning.__file__).parent
    checkout = package.parent / "conf"
    return checkout if (checkout / "config.yaml").is_file() else package / "conf"
