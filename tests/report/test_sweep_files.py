"""The files of a sweep's report: whole, the same from the same jobs, and none of a job's file that is wrong or wants to be run."""

import itertools
from pathlib import Path
from typing import Any

import pytest
from example_run import change_json, write_text
from example_sweep import write_job, write_sweep
from page_reader import Page

from nas_lightning.commands.report import MARK, write_page
from nas_lightning.commands.train import _print_sweep
from nas_lightning.errors import InputError
from nas_lightning.report import write_sweep_report
from nas_lightning.report.markdown import as_markdown
from nas_lightning.report.sweep import read_sweep
from nas_lightning.report.write import make_sweep_parts

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)> %{x} $a$ |"


@pytest.mark.slow
def test_the_same_jobs_give_the_same_bytes(tmp_path: Path):
    write_sweep(tmp_path)
    first = {path: path.read_bytes() for path in write_sweep_report(tmp_path)[:2]}
    pictures = {path.name: path.read_bytes() for path in (tmp_path / "sweep").iterdir()}
    assert set(pictures) == {"effect_1.png", "effect_2.png", "map.png"}
    assert {path: path.read_bytes() for path in write_sweep_report(tmp_path)[:2]} == first
    assert {path.name: path.read_bytes() for path in (tmp_path / "sweep").iterdir()} == pictures


def test_a_multirun_that_cannot_have_a_page_ends_with_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_page(write_sweep(tmp_path / "sweep"), is_sweep=True)
    assert MARK in (tmp_path / "sweep/sweep.html").read_text(encoding="utf-8")
    (tmp_path / "empty").mkdir()
    write_page(tmp_path / "empty", is_sweep=True)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning: no page was written (sweep: {tmp_path}/empty holds no job")


def test_a_multirun_ends_with_its_headline_and_its_jobs_are_read_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    calls: list[Path] = []

    def counted(folder: Path) -> Any:
        calls.append(folder)
        return read_sweep(folder)

    for module in ("write", "sweep"):
        monkeypatch.setattr(f"nas_lightning.report.{module}.read_sweep", counted)
    folder = tmp_path / "sweep"
    for seed in range(2):
        write_job(folder / str(seed), seed, kendall=0.5)
    _print_sweep(folder)
    headline = make_sweep_parts(read_sweep(folder))[0].title
    assert capsys.readouterr().out == f"\n{headline}\npage: {folder}/sweep.html\n"
    assert calls == [folder]


def test_what_the_files_hold_is_shown_and_never_run(tmp_path: Path):
    write_sweep(tmp_path / "<b>sweep", EVIL)
    environment = {"commit": EVIL, "command": ["train.py", f"experiment={EVIL}", EVIL], "dirty": True}
    change_json(tmp_path / "<b>sweep/1/environment.json", **environment)
    write_text(tmp_path / "<b>sweep/2/config.yaml", f'"{EVIL}": "\\ud800 {EVIL}"\nseed: "{EVIL}"\nstages: {{"{EVIL[:20]}": 3}}\n')
    write_text(tmp_path / f"<b>sweep/2/stages/{EVIL[:20]}/metrics.csv", "step,loss\n0,2\n")
    page_path, text_path, _ = write_sweep_report(tmp_path / "<b>sweep")
    page = Page.parse(page_path.read_text(encoding="utf-8"))
    assert len(page.scripts) == 1
    assert "alert(" not in page.scripts[0]
    assert "i" not in {tag for tag, _ in page.tags}
    for tag, attributes in page.tags:
        assert not {name for name in attributes if name.startswith("on")}, tag
        assert (attributes.get("src") or "data:image/png;base64,").startswith("data:image/png;base64,")
    assert EVIL.split("|")[0].strip() in " ".join(page.text.split())
    assert any("<script>" in text for panels in page.data.values() for panel in panels for text in panel["texts"])
    assert "<" not in text_path.read_text(encoding="utf-8")


WRONG = [
    ("1/config.yaml", "a: [", ["1/config.yaml", "is not YAML"]),
    ("1/config.yaml", "a: &a [*a]", ["1/config.yaml", "line 1: an alias"]),
    ("1/config.yaml", "a: &a {b: *a}", ["1/config.yaml", "line 1: an alias"]),
    (
        "1/config.yaml",
        "a: &a [1,1,1,1,1,1,1,1]\n"
        + "".join(f"{new}: &{new} [*{old},*{old},*{old},*{old},*{old},*{old}]\n" for old, new in itertools.pairwise("abcdefg")),
        ["1/config.yaml", "line 2: an alias"],
    ),
    ("1/finished.json", "{", ["1/finished.json", "is not JSON"]),
    ("1/finished.json", '{"seconds": "long"}', ["1/finished.json", "seconds", "'long'"]),
    ("1/finished.json", '{"seconds": 1e999}', ["1/finished.json", "seconds", "inf"]),
    ("1/environment.json", "[]", ["1/environment.json", "must be a JSON object"]),
    ("1/ranking/agreement.json", '{"n": "many"}', ["1/ranking/agreement.json", "n: 'many'"]),
    ("1/stages/pretrain/metrics.csv", "step,loss\n0,high\n", ["1/stages/pretrain/metrics.csv", "line 2", "'high'"]),
]


@pytest.mark.parametrize(("name", "content", "holds"), WRONG)
def test_a_wrong_file_of_a_job_leaves_it_out_and_the_others_are_shown(name: str, content: str, holds: list[str], tmp_path: Path):
    write_sweep(tmp_path)
    write_text(tmp_path / name, content)
    sweep = read_sweep(tmp_path)
    assert [job.name for job in sweep.jobs] == ["0", *(str(number) for number in range(2, 12))]
    ((job, why),) = sweep.unread.items()
    assert job == "1"
    for part in holds:
        assert part in why
    text = as_markdown("sweep", make_sweep_parts(sweep), "sweep").replace("\\", "")
    assert "1 unreadable" in text
    assert "Left out, as a file of theirs cannot be read:" in text
    assert why.split("'")[0].strip() in text


def test_jobs_with_a_score_that_does_not_exist_are_marked(tmp_path: Path):
    write_sweep(tmp_path)
    for number in (3, 7):
        config = tmp_path / str(number) / "config.yaml"
        write_text(config, config.read_text().replace("score: cross_entropy", "score: beauty"))
    sweep = read_sweep(tmp_path)
    assert len(sweep.jobs) == 10
    assert {name: why.partition(": ")[2] for name, why in sweep.unread.items()} == dict.fromkeys(
        "37", "ranking.score: 'beauty' is not one of top1, cross_entropy, predicted"
    )


def test_a_sweep_none_of_whose_jobs_can_be_read_is_one_line(tmp_path: Path):
    for number in range(2):
        write_text(write_job(tmp_path / str(number)) / "finished.json", "{")
    with pytest.raises(InputError, match=r"0/finished\.json: is not JSON") as refused:
        write_sweep_report(tmp_path)
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.glob("sweep*"))


def test_a_folder_without_jobs_and_that_of_a_run_are_refused(tmp_path: Path):
    write_job(tmp_path / "run")
    (tmp_path / "empty").mkdir()
    for name, holds in (("none", "is not a folder"), ("empty", "holds no job"), ("run", "of a run, not of a multirun; give it as run_dir")):
        with pytest.raises(InputError, match=holds):
            read_sweep(tmp_path / name)


def test_a_very_large_integer_is_a_value_like_others(tmp_path: Path):
    write_text(write_job(tmp_path / "0") / "config.yaml", f"a: 0x{'f' * 5000}\n")
    write_job(tmp_path / "1", changes={"a": float("inf")})
    (factor,) = [one for one in read_sweep(tmp_path).factors if "a" in one.keys]
    assert {value[0][:5] for value in factor.values} == {"0xfff", "inf"}
