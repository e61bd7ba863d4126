"""Refuses what only the command line may do, not a config file: name plugins, start programs, read the environment.

Hydra makes callbacks, launchers, sweepers and loggers from a config before our task runs. A loader therefore checks
each file when it is read and the whole config when it is composed, also in a launcher's workers and in the trials of
nas-tune. No file is trusted, the shipped ones included.

``plugins=[my_package]`` on the command line lets ``_target_`` name classes of your own package. A file may name such
a package only if the environment variable ``NAS_LIGHTNING_PLUGINS`` does too: ``export NAS_LIGHTNING_PLUGINS=mine``.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import is_dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hydra._internal import hydra as inner
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.default_element import ResultDefault
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, QuotedString
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nas_lightning.config.declared import COMMANDS, arguments_of, complete, schema_of
from nas_lightning.config.read import walk
from nas_lightning.console.hydra_section import check_hydra
from nas_lightning.errors import InputError

Base = Callable[[DictConfig, Mapping[str, Any]], None]
OF_OTHERS = "short"
"""The experiment of a network, or of other images than digits, unless another is given: the quickstart is made for those alone."""
FITTED = ("optimizer", "sampler", "schedule", "objective")
"""Groups of a stage or a recipe whose options have other arguments."""
SINGLE = "hydra.mode=RUN"
"""What Hydra appends to the overrides of a run that asks for no mode."""
OPEN = ("network.network", "network.widths.overrides")
"""Keys below which any may be given: arguments of a constructor, patterns."""
PLUGINS_VARIABLE = "NAS_LIGHTNING_PLUGINS"
RESOLVERS = ("now", "hydra", "python_version", "oc.select", "oc.dict.keys", "oc.dict.values")
"""Resolvers that a file may call: they only read config and clock. oc.decode and oc.create could spell out others."""
ALLOWED = re.compile(rf"\$\{{(({'|'.join(map(re.escape, RESOLVERS))}):|[\w.\[\]-]+\}})")


def values_of(arguments: Sequence[str]) -> dict[str, Any]:
    """The values of overrides by dotted key, or ``group``, or ``group@package``."""
    parsed = OverridesParser.create().parse_overrides(list(arguments))
    return {override.get_key_element().lstrip("+~"): _plain(override.value()) for override in parsed}


def plugins_of(arguments: Sequence[str]) -> set[str]:
    """The packages that the user allows, also for the trials of nas-tune."""
    typed = values_of(arguments)
    trials = [text for text in _texts(typed.get("overrides")) if text.lstrip("+").startswith("plugins=")]
    environment = (name.strip() for name in os.environ.get(PLUGINS_VARIABLE, "").split(","))
    return {*_texts(typed.get("plugins")), *(plugins_of(trials) if trials else ()), *environment} - {""}


class CheckingLoader(ConfigLoaderImpl):
    """Composes as Hydra does, and refuses what a file may not do; pickled for a launcher's workers."""

    def __init__(
        self, arguments: Sequence[str], command: str, base: Base | None, multiruns: list[Path], config_search_path: ConfigSearchPath
    ) -> None:
        super().__init__(config_search_path)
        self.arguments, self.command, self.base, self.multiruns = arguments, command, base, multiruns
        self.overrides: list[str] = []
        self.single: tuple[str | None, list[str], DictConfig] | None = None
        self.repository = CheckingRepository(config_search_path)

    def load_configuration(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        """See ConfigLoader. Hydra first asks for the mode alone, unvalidated: what is legal as a single run is not composed again."""
        single, self.single = self.single, None
        if single is not None and run_mode == RunMode.RUN and (config_name, overrides) == (single[0], [*single[1], SINGLE]):
            config = single[2]
            config.hydra.mode = RunMode.RUN
            config.hydra.overrides.hydra.append(SINGLE)
            check_hydra(config, values_of(self.arguments), plugins_of(self.arguments))  # interpolations may read both
            return config
        if not validate_sweep_overrides:
            try:
                config = self._load(config_name, overrides, RunMode.RUN, from_shell, True)
                self.single = config_name, list(overrides), config
                return config
            except HydraException as error:
                if isinstance(error.__cause__, OmegaConfBaseException):
                    raise  # in a multirun too
        config = self._load(config_name, overrides, run_mode, from_shell, validate_sweep_overrides)
        if run_mode == config.hydra.mode == RunMode.MULTIRUN and validate_sweep_overrides and not self.multiruns:
            with suppress(OmegaConfBaseException, ValueError):  # Hydra says better what is wrong
                self.multiruns.append(Path(config.hydra.sweep.dir))  # now, on Hydra's own: it keeps the time that is in the name
        return config

    def _load(self, config_name: str | None, overrides: list[str], *arguments: Any) -> DictConfig:
        """The checked config; ``overrides`` may also come from a sweep or study described in a file."""
        for override in set(overrides).difference(self.arguments):
            for call in _forbidden_calls(override):
                if not any(call in argument for argument in self.arguments):
                    raise InputError(f"{override[:200]}: {_RULE.format(call)}")
        given = values_of(overrides)
        is_other = given.get("network") is not None or (isinstance(data := given.get("data"), str) and data != "digits")
        if config_name == "config" and is_other and "experiment" not in given:
            overrides = [*overrides, f"experiment={OF_OTHERS}"]
        self.overrides = overrides  # of this job
        try:
            config = super().load_configuration(config_name, overrides, *arguments)
        except KeyError as error:  # Hydra copies variables unchecked
            raise InputError(f"hydra.job.env_copy: {error} is not in the environment") from None
        allowed = plugins_of(self.arguments)
        for name in _texts(OmegaConf.to_container(config, resolve=False).get("plugins")):  # type: ignore[union-attr]
            if name not in allowed or "${" in name:
                rule = f"only the command line (plugins=[...]) or the environment variable {PLUGINS_VARIABLE} allows one"
                raise InputError(f"plugins: {name!r} comes from a file; {rule}")
        check_hydra(config, values_of(self.arguments), allowed)
        return config

    def _compose_config_from_defaults_list(self, defaults: list[ResultDefault], repo: Any) -> DictConfig:
        """See ConfigLoaderImpl: what the files give, before any override; completed, so that each key can be overridden without a ``+``."""
        config = super()._compose_config_from_defaults_list(defaults, repo)
        self._fit_to_the_chosen(config, defaults, repo)
        if self.base is not None:
            self.base(config, values_of(self.overrides))
        name = next((str(default.config_path) for default in defaults if default.primary), self.command)  # a user's own has another name
        complete(config, schema_of(*COMMANDS.get(name, COMMANDS[self.command])))
        if isinstance(config.get("trainer"), DictConfig):
            OmegaConf.set_struct(config.trainer, False)  # takes any argument of pl.Trainer: check_arguments knows their names
        for place in OPEN:
            if isinstance(node := OmegaConf.select(config, place), DictConfig):
                OmegaConf.set_struct(node, False)
        return config

    def _fit_to_the_chosen(self, config: DictConfig, defaults: list[ResultDefault], repo: Any) -> None:
        """Rids a chosen option of the values that a recipe has for its own one: an optimizer of all, others of what they lack."""
        typed = [key.partition("@") for key in values_of(self.overrides)]
        places = {place: group for group, _, place in typed if group in FITTED}
        chosen = {str(one.package): str(one.config_path) for one in defaults if one.package in places}
        if not chosen:
            return
        name = next((one.config_path for one in defaults if one.primary), self.command)
        others = [override for override in self.overrides if override.lstrip("+~").partition("@")[0] not in FITTED]
        recipes = {one.package: one.config_path for one in self.compute_defaults_list(name, others, RunMode.RUN).defaults}
        for place, path in chosen.items():
            if recipes.get(place, path) == path:
                continue
            own = {key: value for key, value in repo.load_config(path).config.items_ex(resolve=False) if key != "defaults"}
            if places[place] == "optimizer":  # a rate and a decay are those of their optimizer
                OmegaConf.update(config, place, own, merge=False)
            else:
                _drop_unknown(OmegaConf.select(config, place), own)


class CheckingRepository(ConfigRepository):
    """Reads files as Hydra does, and checks each before anything in it is resolved, its defaults list included."""

    def _extract_defaults_list(self, config_path: str, cfg: Any) -> Any:
        """See ConfigRepository: the first method to see the whole of what was read."""
        content = None if is_dataclass(OmegaConf.get_type(cfg)) else OmegaConf.to_container(cfg, resolve=False)  # Python, no file
        for place, key, value in walk(content, ""):
            for call in _forbidden_calls(f"{key} {'' if isinstance(value, Mapping | list) else value}"):
                raise InputError(f"{config_path}: {place}: {_RULE.format(call)}")
        hydra = content.get("hydra") if isinstance(content, dict) else None
        for path in _texts(hydra.get("searchpath") if isinstance(hydra, dict) else None):
            if "://" in path and not path.startswith("file://"):
                raise InputError(
                    f"{config_path}: hydra.searchpath: {path} must be a folder; a package is imported, which only the user may"
                )
        return super()._extract_defaults_list(config_path, cfg)


@contextmanager
def checked(arguments: Sequence[str], command: str, base: Base | None = None) -> Iterator[list[Path]]:
    """Within it Hydra composes with our loader; yields a list that receives the folder of a multirun.

    Args:
        arguments: the overrides of the command line.
        command: the name of the command's config.
        base: changes what the files give, before overrides apply; receives the overrides by key.
    """
    before, multiruns = inner.ConfigLoaderImpl, list[Path]()
    loader = partial(CheckingLoader, arguments, command, base, multiruns)
    inner.ConfigLoaderImpl = loader  # type: ignore[assignment,misc]
    try:
        yield multiruns
    finally:
        inner.ConfigLoaderImpl = before  # type: ignore[misc]


_RULE = "{} is nested, or may read more than the config, which only the command line may; a file gives the value itself"


def _drop_unknown(node: DictConfig, own: Mapping[str, Any]) -> None:
    """Takes from an option's node, and from the objects in it, the arguments that neither its file nor its class has."""
    known = arguments_of(str(node.get("_target_")))
    for key in list(node):
        if known is not None and key not in known and key not in own and key != "_target_":
            del node[key]
            continue
        part, below = OmegaConf.select(node, str(key)), own.get(str(key))
        if isinstance(part, DictConfig) and isinstance(below, Mapping):
            _drop_unknown(part, below)


def _forbidden_calls(text: str) -> list[str]:
    """The interpolations in a text that are neither a plain key nor a call of ``RESOLVERS``."""
    return [call for call in re.findall(r"\$\{[^${}]*\}?", text) if not ALLOWED.match(call)]


def _texts(value: Any) -> list[str]:
    """The strings of a list, or a single string."""
    return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str)]


def _plain(value: Any) -> Any:
    """An override's value as plain containers; the choices of a sweep as one list."""
    if isinstance(value, QuotedString):
        return value.text
    if isinstance(value, ChoiceSweep):
        return [item for choice in value.list for item in (_plain(choice) if isinstance(choice, list) else [_plain(choice)])]
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return {_plain(key): _plain(item) for key, item in value.items()} if isinstance(value, dict) else value
