"""Prints docs/keys.md: every key of every command, as the dataclasses and the files in conf/ declare them.

python -m tests.programs.keys > docs/keys.md
"""

from pathlib import Path

from nas_lightning.config.declared import COMMANDS
from nas_lightning.console.help import Section, head_of, options_of, sections_of
from nas_lightning.console.start import conf_folder

HEAD = """\
# Every key

Made by `python -m tests.programs.keys > docs/keys.md` from the dataclasses and conf/; a test compares. `--help` of a
command shows its own.

A key is set by `KEY=VALUE` on the command line or in an experiment of yours. A choice `GROUP=OPTION` takes a file of
[conf/](../conf), whose keys stand under [Options](#options). NAME is the name of a stage, such as `pretrain`. A key
without a default must be given, or comes from the chosen files."""
NAMES = {"config": "nas-train"}
RECIPES = ("experiment", "sweep")
"""Groups whose files only set keys that stand above."""


def page(conf: Path) -> str:
    lines, seen = [HEAD], dict[Section, str]()
    for command in COMMANDS:
        title = NAMES.get(command, f"nas-{command}")
        lines += ["", f"## {title}", "", head_of(conf / f"{command}.yaml")[0]]
        for section in sections_of(command, conf):
            before = seen.setdefault(section, title)
            lines += ["", f"### {section.name} of {title}"] if section.name else []
            lines += ["", *([f"As for {before}."] if before != title else [section.meaning.capitalize(), "", *table(section)])]
    lines += ["", "## Options"]
    for group in sorted(path for path in conf.iterdir() if path.is_dir()):
        lines += ["", f"### {group.name}"]
        for option, meaning in options_of(group):
            path = group / f"{option}.yaml"
            keys = path.read_text(encoding="utf-8").splitlines()[len(head_of(path)) :]
            block = ["", "```yaml", *keys, "```"] if keys and group.name not in RECIPES else []
            lines += ["", f"`{option}`: {meaning}", *block]
    return "\n".join(lines) + "\n"


def table(section: Section) -> list[str]:
    rows = ["| key | default | values | meaning |", "| --- | --- | --- | --- |"]
    for entry in section.entries:
        values = ", ".join(f"`{name}`" for name, _ in entry.options) or entry.legal.replace(" | ", ", ")
        rows.append(f"| `{entry.name}` | {entry.default and f'`{entry.default}`'} | {values} | {entry.meaning} |")
    return rows


if __name__ == "__main__":
    print(page(conf_folder()), end="")
