"""No class or function of the allowed packages can be called from a config outside its role."""

import importlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from nas_lightning.config.roles import ARGUMENTS, EVERY, Role
from tests.config.every_name import accepted, expected, loaded, named

for role in EVERY:  # what a role offers is imported, so that the fast test meets it
    for module in (*role.modules, *(path.rpartition(".")[0] for path in role.classes)):
        importlib.import_module(module)


HARM = (
    "Handler",
    "Store",
    "Popen",
    "Process",
    "Launcher",
    "Loader",
    "Library",
    "Spike",
    "MLFlow",
    "Wandb",
    "Comet",
    "LitLogger",
    "XLAProfiler",
)
"""Words of classes that start programs, load code, overwrite a file or open a connection."""


@pytest.mark.slow
def test_of_the_names_that_are_imported_a_role_takes_its_own_alone():
    names = named(loaded())
    assert len(names) > 10_000
    wanted = {role: expected(names, role) for role in EVERY}
    known = set().union(*wanted.values())
    harmful = {name for name in names if any(word in name.rpartition(".")[2] for word in HARM)} - known
    assert len(harmful) > 100
    taken = accepted([*known, *harmful, *sorted(names)[::20]])
    for role in EVERY:
        assert set(taken[role.title]) == wanted[role], role.title
        assert wanted[role], role.title


def test_titles_of_roles_differ_and_every_argument_has_a_role():
    assert len({role.title for role in EVERY}) == len(EVERY)
    assert all(roles and all(role in EVERY for role in roles) for roles in ARGUMENTS.values())


@pytest.mark.slow
def test_of_every_public_name_of_the_packages_a_role_takes_its_own_alone(tmp_path: Path, python: Callable):
    done = python("-m", "tests.config.every_name", tmp_path / "result.json")
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["accepted"] == result["expected"]
    assert result["names"] > 30_000
    assert not [name for names in result["accepted"].values() for name in names if any(word in name.rpartition(".")[2] for word in HARM)]
    print(f"{result['names']} names; skipped: {json.dumps(result['skipped'], indent=1)}")
    assert not any(name.startswith("nas_lightning.") for name in result["skipped"])


def test_an_object_that_lacks_a_protocols_property_is_found_out():
    assert Role("a predictor", "nas_lightning.scoring.predictors.Predictor").missing(object()) == ["name"]
