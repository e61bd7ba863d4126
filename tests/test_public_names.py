"""What ``import nas_lightning`` offers."""

import subprocess
import sys

import pytest

import nas_lightning


@pytest.mark.parametrize("name", nas_lightning.HOMES)
def test_a_public_name_is_what_its_file_defines(name: str):
    found = getattr(nas_lightning, name)
    assert found.__name__ == name
    assert found.__module__ == f"nas_lightning.{nas_lightning.HOMES[name]}"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module nas_lightning has no attribute ranker"):
        _ = nas_lightning.ranker


def test_the_package_itself_imports_no_torch():
    code = "import sys, nas_lightning; nas_lightning.read_table; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
