"""Bounds what Hydra reads: a few lines of nested YAML aliases can stand for more values than memory holds."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import yaml
from omegaconf import OmegaConf

from nas_lightning.errors import InputError
from nas_lightning.runs.reading import MAX_YAML_MIB

MOST_VALUES = 100_000
"""Maximum values of one file, its aliases expanded."""


@contextmanager
def bounded_config_files() -> Iterator[None]:
    """Within it OmegaConf, which reads all of Hydra's files, refuses those that are too large, aliases expanded."""
    whole = OmegaConf.load

    def load(file: Any) -> Any:
        if not isinstance(file, io.TextIOBase):
            return whole(file)
        name, text = getattr(file, "name", "config"), file.read(int(MAX_YAML_MIB * 2**20) + 1)
        if len(text) > MAX_YAML_MIB * 2**20:
            raise InputError(f"{name}: may have {MAX_YAML_MIB} MiB, as a config")
        try:
            if "*" in text:
                _check_aliases(text, name)
            bounded = io.StringIO(text)
            bounded.name = name  # quoted in the reader's errors
            return whole(bounded)
        except RecursionError:
            raise InputError(f"{name}: is nested too deeply for a config") from None

    OmegaConf.load = staticmethod(load)  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        OmegaConf.load = staticmethod(whole)  # type: ignore[method-assign]


def _check_aliases(text: str, name: str) -> None:
    """Raises InputError if a file expands to too many values, or has a value that contains itself."""
    sizes: dict[str | None, int] = {}
    opened: list[tuple[str | None, int]] = [(None, 0)]
    for event in yaml.parse(text, yaml.SafeLoader):
        size, line = 0, event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.CollectionStartEvent):
            opened.append((event.anchor, 1))
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, size = opened.pop()
            sizes[anchor] = size
        elif isinstance(event, yaml.ScalarEvent):
            size = sizes[event.anchor] = 1
        elif isinstance(event, yaml.AliasEvent):
            if any(event.anchor == anchor for anchor, _ in opened):
                raise InputError(f"{name}: line {line}: *{event.anchor} stands within what it names")
            size = sizes.get(event.anchor, 1)  # the reader reports an alias of nothing
        opened[-1] = (opened[-1][0], opened[-1][1] + size)
        if opened[-1][1] > MOST_VALUES:
            raise InputError(f"{name}: line {line}: has more than {MOST_VALUES:,} values, its aliases written out")
