"""Groups of channels become named choices with legal widths."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatchcase
from typing import Any

from nas_lightning.config.fields import Checked, number
from nas_lightning.errors import InputError, check_known
from nas_lightning.supernet.traced.groups import Group, PinnedLayer


@dataclass(frozen=True, kw_only=True)
class Widths(Checked, place="network.widths"):
    """``network.widths``: which widths a choice offers."""

    ratios: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0)
    """Of the full width, rounded to whole multiples of ``divisor``."""
    step: int | None = number(None, least=1)
    """If given, all multiples of it and the full width, instead of ratios."""
    divisor: int = number(8, least=1)
    """Widths are its multiples, but for the full one."""
    least: int = number(8, least=1)
    """The smallest width, where the full one is not smaller."""
    overrides: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Other keys for the choices whose names match a pattern; the last that matches counts."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "ratios", tuple(self.ratios))
        super().__post_init__()
        numbers = [ratio for ratio in self.ratios if isinstance(ratio, int | float) and not isinstance(ratio, bool)]
        if not numbers or len(numbers) < len(self.ratios) or not all(0 < ratio <= 1 for ratio in numbers):
            raise InputError(f"network.widths.ratios: {list(self.ratios)} must be one or more numbers above 0 and up to 1")
        known = [key.name for key in fields(self) if key.name != "overrides"]
        for pattern, given in self.overrides.items():
            for key in given:
                check_known(f"network.widths.overrides.{pattern}.{key}", key, known)
            replace(self, overrides={}, **given)  # checks its values

    def header(self) -> dict[str, Any]:
        """Plain values that give them: ``Widths(**header)``."""
        return {**vars(self), "ratios": list(self.ratios), "overrides": {pattern: dict(given) for pattern, given in self.overrides.items()}}

    def of(self, name: str) -> "Widths":
        """Those of a choice."""
        rules = [given for pattern, given in self.overrides.items() if fnmatchcase(name, pattern)]
        return replace(self, overrides={}, **rules[-1]) if rules else self

    def units(self, group: Group) -> tuple[int, ...]:
        """The legal numbers of units of a group, ascending."""
        rule = self.of(group.name)
        grain = math.lcm(group.per_unit, rule.step or rule.divisor) // group.per_unit
        least = min(-(-rule.least // (grain * group.per_unit)) * grain, group.units)
        if rule.step is not None:
            wanted = [*range(grain, group.units, grain), group.units]
        else:
            wanted = [group.units if ratio == 1 else round(group.units * ratio / grain) * grain for ratio in rule.ratios]
        return tuple(sorted({min(max(count, least), group.units) for count in wanted}))


@dataclass(frozen=True)
class Choice:
    """What one width of an architecture decides."""

    name: str
    full: int
    """Channels at full width."""
    groups: tuple[int, ...]
    """The groups that it narrows, the first of which has its width."""
    units: Mapping[int, tuple[int, ...]]
    """By legal width, ascending: the units of each group."""
    layers: tuple[str, ...]
    """The layers whose channels it decides."""


def make_choices(
    groups: Sequence[Group], order: Sequence[int], widths: Widths, tie: Sequence[str] = ()
) -> tuple[list[Choice], list[PinnedLayer]]:
    """The choices in forward order, and the groups left with a single legal width.

    Args:
        order: of the groups, forward.
        tie: patterns of names; the groups that match one get one choice, and keep about the same share of their units.

    Raises:
        InputError: if a pattern matches no group, or nothing is left to choose.
    """
    names = [groups[number].name for number in order]
    for key, patterns in (("overrides", widths.overrides), ("tie", tie)):
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in names):
                place = "network.widths.overrides" if key == "overrides" else "network.tie"
                raise InputError(f"{place}: {pattern} matches no choice; choices are {', '.join(names[:3])}, ...")
    choices: list[Choice] = []
    single: list[PinnedLayer] = []
    taken: set[int] = set()
    for first in order:
        if first in taken:
            continue
        tying = [pattern for pattern in tie if fnmatchcase(groups[first].name, pattern)][:1]
        together = [other for other in order if other not in taken and tying and fnmatchcase(groups[other].name, tying[0])] or [first]
        taken |= set(together)
        lead, tied = groups[first], [groups[other] for other in together]
        legal = widths.units(lead)
        units = {count * lead.per_unit: tuple(_share(group, count / lead.units) for group in tied) for count in legal}
        if len(legal) == 1:
            reason = f"has one legal width, {legal[0] * lead.per_unit}, by network.widths"
            single += [PinnedLayer(group.name, group.channels, reason) for group in tied]
        layers = tuple(name for group in tied for name in group.layers)
        choices.append(Choice(lead.name, lead.channels, tuple(together), units, layers))
    return choices, single


def _share(group: Group, share: float) -> int:
    return max(1, round(group.units * share))
