"""Rooms look backward only: docs/house.md."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import nas_lightning

PACKAGE = Path(nas_lightning.__file__).parent
GROUND = {"errors", "rng", "config", "devices", "runs"}  # every room above may import it
MAY_IMPORT = {  # beside the ground; the ground itself only what stands here
    "errors": set(),
    "rng": set(),
    "config": {"errors"},
    "devices": {"errors"},
    "runs": {"errors", "config", "devices"},
    "space": set(),
    "data": set(),
    "supernet": {"space"},
    "training": {"space", "data", "supernet"},
    "standalone": {"space", "data", "supernet", "training"},
    "scoring": {"space", "data", "supernet"},
    "agreement": {"space", "scoring"},
    "search": {"space", "scoring"},
    "export": {"space", "data", "supernet"},
    "report": {"space", "scoring", "agreement"},
    "tuning": set(),
    "console": set(),
    "python": {"space", "data", "supernet", "scoring", "agreement", "commands"},
    "commands": {
        "space",
        "data",
        "supernet",
        "training",
        "standalone",
        "scoring",
        "agreement",
        "search",
        "export",
        "report",
        "tuning",
        "console",
    },
}
HEAVY = {"torch", "torchvision", "torchmetrics", "pytorch_lightning", "lightning"}


def imports_of(file: Path) -> set[str]:
    """The dotted names of all modules that a file imports, at its head or within a function."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import hides its room"
            assert node.module is not None
            names.add(node.module)
            if node.module == "nas_lightning":
                names |= {f"nas_lightning.{alias.name}" for alias in node.names}
    return names


def rooms_imported_by(file: Path) -> set[str]:
    dotted = (name.split(".") for name in imports_of(file))
    return {parts[1] for parts in dotted if parts[0] == "nas_lightning" and len(parts) > 1}


def files_of(room: str) -> list[Path]:
    return [*PACKAGE.glob(f"{room}.py"), *PACKAGE.glob(f"{room}/**/*.py")]


ROOMS = sorted({path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()} - {"__init__"})


def test_every_room_has_its_rule():
    assert set(ROOMS) == MAY_IMPORT.keys()


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_earlier_rooms(room: str):
    ground = set() if room in GROUND else GROUND
    for file in files_of(room):
        assert rooms_imported_by(file) <= MAY_IMPORT[room] | ground | {room}, file


def test_the_rule_finds_a_room_that_is_imported_by_any_form_of_import(tmp_path: Path):
    file = tmp_path / "forms.py"
    file.write_text(
        "import nas_lightning.space\nfrom nas_lightning import data\nfrom nas_lightning.scoring.table import x\n"
        "def late():\n    from nas_lightning.training import y\n"
    )
    assert rooms_imported_by(file) == {"space", "data", "scoring", "training"}


@pytest.mark.parametrize("name", ["scoring/table.py", "training/schedules.py", "rng.py", "runs/writing.py", "errors.py"])
def test_a_file_of_plain_figures_needs_no_torch_through_its_imports(name: str):
    left, seen = [PACKAGE / name], set()
    while left:
        file = left.pop()
        seen.add(file)
        imported = imports_of(file)
        assert not {one.split(".")[0] for one in imported} & HEAVY, file
        own = (PACKAGE.parent / (one.replace(".", "/") + ".py") for one in imported if one.startswith("nas_lightning."))
        left += [one for one in own if one.is_file() and one not in seen]


@pytest.mark.parametrize("room", ["space", "agreement", "report"])
def test_a_room_without_networks_needs_no_torch(room: str):
    for file in files_of(room):
        assert not {one.split(".")[0] for one in imports_of(file)} & HEAVY, file


@pytest.mark.slow
def test_agreement_report_and_tables_import_no_torch():
    files = [file for room in ("space", "agreement", "report") for file in files_of(room)]
    modules = [".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts) for file in files]
    code = (
        f"import importlib, sys\nfor name in {[*modules, 'nas_lightning.scoring.table']}:\n    importlib.import_module(name)\n"
        f"print('imported:', sorted(sys.modules.keys() & {HEAVY}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, check=False)
    assert done.stdout == "imported: []\n", done.stderr


def test_the_report_imports_only_the_files_that_scoring_writes():
    imported = {name for file in files_of("report") for name in imports_of(file) if name.startswith("nas_lightning.scoring")}
    assert imported == {f"nas_lightning.scoring.{file}" for file in ("table", "meanings", "prediction", "halves")}


@pytest.mark.parametrize("room", [room for room in ROOMS if room != "report"])
def test_only_the_report_draws(room: str):
    for file in files_of(room):
        assert not {one.split(".")[0] for one in imports_of(file)} & {"matplotlib"}, file


def test_help_is_shown_without_importing_torch_or_lightning():
    code = (
        "import sys; sys.argv = ['train.py', '--help']\n"
        "from nas_lightning.commands.train import main\n"
        "try:\n    main()\n"
        "finally:\n    print('imported:', sorted(sys.modules.keys() & {'torch', 'pytorch_lightning', 'torchvision', 'sklearn'}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "experiment=OPTION" in done.stdout
    assert "imported: []" in done.stdout
