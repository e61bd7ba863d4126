"""What a file of weights that cannot be read is answered."""

from pathlib import Path

import pytest

from nas_lightning.errors import InputError
from nas_lightning.supernet.checkpoint import load_supernet


def refusal(path: Path) -> str:
    """The one line, which names the file."""
    with pytest.raises(InputError) as refused:
        load_supernet(path)
    text = str(refused.value)
    assert str(path) in text
    assert "\n" not in text
    return text
