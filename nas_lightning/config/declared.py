"""The keys that dataclasses declare, read from their source: neither help nor composing a config may import torch."""

import ast
from collections.abc import Iterator
from dataclasses import MISSING, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

PACKAGE = Path(__file__).parents[1]
COMMANDS = {
    "config": ("nas_lightning.commands.configs", "TrainConfig"),
    "rank": ("nas_lightning.commands.configs", "RankConfig"),
    "search": ("nas_lightning.commands.search_keys", "SearchCommandConfig"),
    "standalone": ("nas_lightning.commands.configs", "StandaloneCommandConfig"),
    "export": ("nas_lightning.commands.configs", "ExportConfig"),
    "compare": ("nas_lightning.config.schema", "CompareConfig"),
    "tune": ("nas_lightning.config.schema", "TuneConfig"),
    "report": ("nas_lightning.config.schema", "ReportConfig"),
}
"""Module and name of the dataclass that holds a command's keys, by the name of its file in conf/."""
TYPES = {"int": "an integer", "float": "a number", "bool": "true or false", "list": "a list", "tuple": "a list", "dict": "a mapping"}


@dataclass(frozen=True)
class Key:
    """One key: its docstring, its plain default or ``MISSING``, its legal values in words.

    Args:
        kind: ``object`` by ``_target_``, ``inline`` for a dataclass whose keys its owner has, ``many`` for a mapping of
            names to dataclasses, else empty.
        schema: of a dataclass.
    """

    name: str
    meaning: str
    default: Any
    legal: str
    kind: str = ""
    schema: "Schema | None" = None


@dataclass(frozen=True)
class Schema:
    """A dataclass: its docstring and its keys."""

    meaning: str
    declared: tuple[Key, ...]

    @property
    def keys(self) -> Iterator[Key]:
        """All keys, those of inline parts in their place."""
        for key in self.declared:
            if key.kind == "inline" and key.schema is not None:
                yield from key.schema.keys
            else:
                yield key


@cache
def schema_of(module: str, name: str) -> Schema:
    """The declaration of a dataclass."""
    home, node = _find(module, name)
    bases = [schema_of(home, base.id) for base in node.bases if isinstance(base, ast.Name) and base.id != "Checked"]
    meanings = {id(before): _docstring(after) for before, after in zip(node.body, node.body[1:], strict=False)}
    own = [_key(home, field, meanings.get(id(field), "")) for field in node.body if isinstance(field, ast.AnnAssign)]
    return Schema(ast.get_docstring(node) or "", (*(key for base in bases for key in base.declared), *filter(None, own)))


def arguments_of(target: str) -> set[str] | None:
    """The fields of a dataclass of this package by its dotted path, which a node may give; None for any other class."""
    module, _, name = target.rpartition(".")
    home, node = _find(module, name) if module.startswith("nas_lightning.") else (module, None)
    if not isinstance(node, ast.ClassDef) or not _is_dataclass(home, name):
        return None
    bases = [arguments_of(f"{home}.{base.id}") or set() for base in node.bases if isinstance(base, ast.Name)]
    own = {field.target.id for field in node.body if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)}
    return own.union(*bases)


def complete(config: DictConfig, schema: Schema) -> None:
    """Adds the keys that no file gives, with their defaults: then an override may name any key without a ``+``."""
    for key in schema.keys:
        if (
            key.name not in config
            and not OmegaConf.is_missing(config, key.name)
            and (key.default is not MISSING or (key.schema and not key.kind))
        ):
            config[key.name] = {} if key.default is MISSING else key.default
        if key.schema is not None and isinstance(part := _value(config, key.name), DictConfig):
            for inner in [_value(part, str(name)) for name in part] if key.kind == "many" else [part]:
                if isinstance(inner, DictConfig):
                    complete(inner, key.schema)


def _value(config: DictConfig, name: str) -> Any:
    """The value of a key; None where it is missing, or stands elsewhere."""
    return None if OmegaConf.is_interpolation(config, name) or OmegaConf.is_missing(config, name) else config.get(name)


def _key(module: str, field: ast.AnnAssign, meaning: str) -> Key | None:
    """The key of a field; None for one that code sets."""
    assert isinstance(field.target, ast.Name)
    call = field.value if isinstance(field.value, ast.Call) else None
    declares = call.func.id if call and isinstance(call.func, ast.Name) else ""
    if declares == "made" or ast.unparse(field.annotation).startswith("ClassVar"):
        return None
    value = field.value if call is None else next(iter(call.args), None)
    default = {} if declares == "field" else MISSING if value is None or declares == "target" else _literal(module, value)
    default = [*default] if isinstance(default, tuple) else default
    given = [] if call is None or declares == "field" else call.keywords
    rules = {rule.arg: _literal(module, rule.value) for rule in given if rule.arg != "is_partial"}
    names = [node.id for node in ast.walk(field.annotation) if isinstance(node, ast.Name)]
    parts = [] if declares in ("target", "word") else [name for name in names if name != "Later" and _is_dataclass(module, name)]
    schema = schema_of(module, parts[0]) if parts else None
    kind = {"target": "object", "inline": "inline"}.get(declares, "many" if schema and names[0] == "dict" else "")
    return Key(field.target.id, meaning, default, _legal(names[0], rules, default), kind, schema)


def _legal(type_name: str, rules: dict[str | None, Any], default: Any) -> str:
    """Legal values in words; empty where the default shows them."""
    least, most, above = rules.get("least"), rules.get("most"), rules.get("above")
    if "among" in rules:
        return " | ".join(map(str, rules["among"]))
    if above is not None:
        return f"above {above:,}" + (f", at most {most:,}" if most is not None else "")
    if least is not None:
        return f"{least:,} to {most:,}" if most is not None else f"{least:,} or more"
    return TYPES.get(type_name, "") if default is None or default is MISSING else ""


def _literal(module: str, node: ast.expr) -> Any:
    """The value of an expression of literals and of names for them; of a mapping only its keys."""
    if isinstance(node, ast.Name):
        home, assigned = _find(module, node.id)
        return _literal(home, assigned.value)
    if isinstance(node, ast.Dict):
        return [ast.literal_eval(key) for key in node.keys if key is not None]
    return ast.literal_eval(node)


def _is_dataclass(module: str, name: str) -> bool:
    found = _find(module, name)[1]
    return isinstance(found, ast.ClassDef) and "dataclass" in map(ast.unparse, (call for call in _decorators(found)))


def _decorators(node: ast.ClassDef) -> list[ast.expr]:
    return [decorator.func if isinstance(decorator, ast.Call) else decorator for decorator in node.decorator_list]


def _find(module: str, name: str) -> tuple[str, Any]:
    """The statement that defines a name, and its module, which may be another one of the package; (module, None) if neither."""
    for node in _parsed(module).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return module, node
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return module, node
        if isinstance(node, ast.ImportFrom) and node.module and any((alias.asname or alias.name) == name for alias in node.names):
            return _find(node.module, name) if node.module.startswith("nas_lightning") else (node.module, None)
    return module, None


@cache
def _parsed(module: str) -> ast.Module:
    path = PACKAGE.joinpath(*module.split(".")[1:])
    file = path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"
    return ast.parse(file.read_text(encoding="utf-8"))


def _docstring(node: ast.stmt) -> str:
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    return " ".join(str(node.value.value).split()) if is_text else ""  # type: ignore[attr-defined]
