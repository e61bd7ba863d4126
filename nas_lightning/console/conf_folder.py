"""Where the configs are."""

from pathlib import Path

import nas_lightning


def conf_folder() -> Path:
    """The configs: the checkout's where there is one, else the copy in the wheel."""
    package = Path(nas_lightning.__file__).parent
    checkout = package.parent / "conf"
    return checkout if (checkout / "config.yaml").is_file() else package / "conf"
