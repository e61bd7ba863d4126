"""``nas-report`` as from a shell, on the run of ``experiment=micro``."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CODE = (
    "import sys\n"
    "from nas_lightning.commands.report import main\n"
    "try:\n    main()\n"
    "finally:\n    print('imported:', sorted(sys.modules.keys() & {'torch', 'pytorch_lightning', 'torchmetrics', 'sklearn'}))\n"
)


def nas_report(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", CODE, *arguments], capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def run(micro: Path, tmp_path: Path) -> Path:
    """What a report reads of the run, to be written into."""
    names = (
        "config.yaml",
        "environment.json",
        "ranking",
        "standalone",
        *(f"stages/{one}/metrics.csv" for one in ("pretrain", "finetune", "distill_1")),
    )
    for name in names:
        target = tmp_path / "run" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (micro / name).is_dir():
            shutil.copytree(micro / name, target)
        else:
            shutil.copy(micro / name, target)
    return tmp_path / "run"


@pytest.mark.slow
def test_a_real_run_gets_its_report_without_importing_torch(run: Path):
    done = nas_report(f"run_dir={run}")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"written: {run}/report.html, report.md\nimported: []\n"
    text = (run / "report.md").read_text(encoding="utf-8")
    assert "24 candidates are ranked by predicted (all were scored); the order is compared with 6 known accuracies, which are few" in text
    kendall = json.loads((run / "ranking/agreement.json").read_text())["scores"]["predicted"]["kendall"]["value"]
    assert f"{kendall:.3f}" in text
    assert "Missing" not in text
    assert sorted(path.stem for path in (run / "report").iterdir()) == [
        "against_truth",
        "baselines",
        "costs",
        "parameters",
        "prediction",
        "ranks",
        "training",
        "widths",
    ]


@pytest.mark.slow
def test_a_wrong_file_ends_in_one_line_and_writes_nothing(run: Path):
    (run / "config.yaml").write_text("a: [\n\n")
    done = nas_report(f"run_dir={run}")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert done.stderr.startswith(f"error: {run}/config.yaml: is not YAML")
    assert not list(run.glob("report*"))


@pytest.mark.slow
def test_a_sweep_gets_its_report_without_importing_torch(run: Path):
    sweep = run.parent / "a sweep"
    for number in range(2):
        shutil.copytree(run, sweep / str(number))
    done = nas_report(f"sweep='{sweep}'")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"written: {sweep}/sweep.html, sweep.md\nimported: []\n"
    text = (sweep / "sweep.md").read_text(encoding="utf-8")
    kendall = json.loads((run / "ranking/agreement.json").read_text())["scores"]["predicted"]["kendall"]["value"]
    assert text.count(f"| {kendall:.3f} \\[") == 2  # a row a job
    assert not (sweep / "sweep").exists()  # two jobs of one setting: nothing was swept


@pytest.mark.parametrize(
    ("arguments", "holds"),
    [
        ([], ["run_dir, sweep: none is given"]),
        (["run_dir=x", "sweep=y"], ["run_dir, sweep: both are given"]),
        (["sweep=/nowhere"], ["sweep: /nowhere is not a folder"]),
        (["run_dir=/nowhere"], ["/nowhere", "is not a folder"]),
        (["run_dir=x", "points=3"], ["points: 3", "at least 100"]),
        (["run_dir=x", "point=300"], ["point", "points"]),
    ],
    ids=str,
)
def test_a_wrong_argument_ends_in_one_line(arguments: list[str], holds: list[str]):
    done = nas_report(*arguments)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    for part in holds:
        assert part in done.stderr
