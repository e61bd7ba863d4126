"""docs/house.md tells the house as it is."""

import re
from pathlib import Path

from test_import_rule import MAY_IMPORT

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "house.md").read_text(encoding="utf-8")


def test_every_room_stands_in_the_table_and_no_other():
    rows = re.findall(r"^\| (`[^|]+) \|", TEXT.split("## Where to add what")[0], re.MULTILINE)
    told = {name for row in rows for name in re.findall(r"`(\w+)(?:/|\.py)`", row)}
    assert told == MAY_IMPORT.keys()


def test_every_file_that_the_page_names_is_there():
    named = set(re.findall(r"`((?:\w+/)+\w+\.(?:py|yaml))`", TEXT))
    assert named
    for name in named:
        assert any((folder / name).is_file() for folder in (ROOT, ROOT / "nas_lightning")), name
