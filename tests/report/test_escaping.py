"""What the files hold is shown, never run: names of candidates, scores, stages and values are anyone's."""

import base64
import hashlib
import json
import re
from pathlib import Path

import pytest
import yaml
from example_run import change_json, write_example, write_metrics
from page_reader import Page

import nas_lightning.report
from nas_lightning.report import write_report
from nas_lightning.report.content import Part
from nas_lightning.report.markdown import as_markdown, literal
from nas_lightning.report.page import as_data

PNG = "data:image/png;base64,"
TAGS = (
    "html head meta title link style body main header p span b h1 h2 dl dt dd div small nav a section figure figcaption picture source img "
    "script input label table caption thead tbody tr th td wbr details summary pre"
)
EVIL = [
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    "<img src=x onerror=alert(3)>",
    "<!--<script>",
    "%{x} & &lt;b&gt; <b>bold</b>",
    '"><a href="javascript:alert(4)">a</a>',
    "| [a](http://b.c) `d` *e* _f_ $g$",
    "# heading",
    "https://example.org www.example.org",
    "line\nbreak \u2028 and ünïcode 架构",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_example(tmp_path_factory.mktemp("evil") / "<b>run<b>", names=EVIL)
    scores = json.loads((folder / "ranking/agreement.json").read_text())
    evil_scores = {**scores["scores"], **{name: scores["scores"]["top-1"] for name in EVIL}}
    change_json(folder / "ranking/agreement.json", scores=evil_scores, baselines={name: scores["baselines"]["parameters"] for name in EVIL})
    change_json(folder / "environment.json", **{name: name for name in EVIL})
    change_json(folder / "ranking/protocol.json", **{name: [name] for name in EVIL})
    config = yaml.safe_load((folder / "config.yaml").read_text())
    stage = "<script>alert(5)<"
    config["stages"][stage] = {"sampler": {"_target_": stage, stage: stage}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
    write_metrics(folder, stage, 40)
    write_report(folder, points=3000)
    return folder


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return Page.parse((folder / "report.html").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_half_a_character_is_replaced(tmp_path: Path):
    write_example(tmp_path / "run")
    change_json(tmp_path / "run/environment.json", commit="\ud800abc", machine="\ud800")
    for path in write_report(tmp_path / "run", points=100)[:2]:
        assert "commit ?abc" in path.read_text(encoding="utf-8") or path.suffix == ".md"


def test_the_page_runs_one_script_and_it_is_ours(page: Page):
    executable = [tag for tag in page.tags if tag[0] == "script" and tag[1].get("type") != "application/json"]
    assert executable == [("script", {})]
    assert page.scripts == [(Path(nas_lightning.report.__file__).parent / "page.js").read_text()]


def test_the_browser_is_told_to_run_this_script_only_and_to_load_nothing(page: Page):
    (policy,) = [tag["content"] for name, tag in page.tags if name == "meta" and tag.get("http-equiv") == "Content-Security-Policy"]
    script = base64.b64encode(hashlib.sha256(page.scripts[0].encode()).digest()).decode()
    assert policy == f"default-src 'none'; script-src 'sha256-{script}'; style-src 'unsafe-inline'; img-src data:"


def test_the_page_has_no_tag_attribute_or_address_of_the_files(page: Page):
    assert {tag.removeprefix("/") for tag, _ in page.tags} <= set(TAGS.split())
    for tag, attributes in page.tags:
        assert not {name for name in attributes if name.startswith("on")}, tag
        assert all((attributes.get(name) or PNG).startswith(PNG) for name in ("src", "srcset")), tag
        assert (attributes.get("href") or "#").startswith(("#", "data:,"))


@pytest.mark.parametrize("name", EVIL)
def test_a_name_is_shown_as_it_is(name: str, page: Page):
    assert " ".join(name.split()) in " ".join(page.text.split())


def test_the_figures_texts_are_those_of_the_files(page: Page):
    texts = [text for panels in page.data.values() for panel in panels for text in panel["texts"]]
    assert any(text.startswith("<script>alert(1)</script>\n") for text in texts)  # page.js shows it as text: test_in_a_browser.py
    assert "innerHTML" not in page.scripts[0]


@pytest.mark.parametrize("name", EVIL)
def test_data_within_the_page_end_no_script(name: str):
    text = as_data({name: [name]})
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == {name: [name]}


def test_the_text_holds_no_markup_of_the_files(folder: Path):
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert "<" not in text
    assert not re.search(r"(?<!\\)\]\((?!report/)", text)
    for line in text.splitlines():
        if line.startswith("|"):
            assert len(re.findall(r"(?<!\\)\|", line)) >= 3


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a|b", r"a\|b"),
        ("# a", "&#35; a"),
        ("1. a", "&#49;. a"),
        ("- a", "&#45; a"),
        ("---", "&#45;--"),
        ("-1.5", "-1.5"),
        ("0.7 to 0.8", "0.7 to 0.8"),
        ("a-b 1.5 (c)", "a-b 1.5 (c)"),
        ("<i>", "&lt;i&gt;"),
        ("a\n# b", "a # b"),
        ("http://a.b", "http&#58;//a.b"),
        ("www.a.b", "www&#46;a.b"),
        ("[a](b)", r"\[a\](b)"),
    ],
)
def test_markdown_leaves_text_as_it_is(text: str, written: str):
    assert literal(text) == written


def test_a_command_in_markdown_can_be_copied_as_it_is():
    command = "nas-standalone run_dir='my_run' && echo `a` ```b``` $HOME"
    lines = as_markdown("run", [Part("Next", command=command)], "report").splitlines()
    at = lines.index(command)
    assert lines[at - 1] == lines[at + 1] == "````"  # longer than any in it
