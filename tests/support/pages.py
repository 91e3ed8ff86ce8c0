"""Code blocks, links and tables of README and the pages of ``docs/``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import airflow
from packaging.version import Version

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").rglob("[!_]*.md"))
#: How many characters of a line of a log the documentation shows: as many as Airflow's UI shows after time
#: and level, in a window of 1,400 pixels. The browser test checks it.
SEEN_CHARACTERS = 85
PAGES = [README, *(page for page in DOCS if "_build" not in page.parts)]

_BLOCK = re.compile(r"^```(?P<language>.*)\n(?P<text>(?:.*\n)*?)```$", re.MULTILINE)
_DAG = re.compile(r"^@dag\(.*?^def (\w+)", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# (\S+/\S+\.py)\n")
#: An import, with a comment that shows it for older versions of Airflow.
_MOVED = re.compile(
    r"^from \S+ (?P<names>import .*?)  # Airflow 2\.11(?: to (?P<last>3\.\d))?: (?P<older>from \S+)$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """A code block of a page, adapted to this version of Airflow."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def dag_id(self) -> str | None:
        """ID of the DAG in the block."""
        return found[1] if (found := _DAG.search(self.text)) else None

    @property
    def file(self) -> str | None:
        """File name in the first line of the block; the file belongs to the project of the page."""
        return found[1] if (found := _FILE.match(self.text)) else None


def _as_here(text: str) -> str:
    here = Version(airflow.__version__).release[:2]

    def line(found: re.Match[str]) -> str:
        is_older = here <= Version(found["last"] or "2.11").release
        return f"{found['older']} {found['names']}" if is_older else found[0]

    return _MOVED.sub(line, text)


def _blocks(page: Path) -> list[Block]:
    text = page.read_text()
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found["language"], _as_here(found["text"]))
        for found in _BLOCK.finditer(text)
    ]


#: Without directives, such as ``{toctree}``, which Sphinx checks.
BLOCKS = [block for page in PAGES for block in _blocks(page) if not block.language.startswith("{")]
#: Pages with the files of a small project, which runs as a whole.
PROJECTS = {block.page for block in BLOCKS if block.file}


def prose(page: Path) -> str:
    """Return the text of a page without its code blocks."""
    return _BLOCK.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as repository hosts and MyST make them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> list[str]:
    """Return the links of a page into the repository."""
    return re.findall(r"\]\((?!https?:)(.*?)\)", prose(page))


def rows(page: Path, heading: str) -> list[list[str]]:
    """Return the cells of the table under a heading, without its header."""
    section = page.read_text().partition(f"# {heading}\n")[2].partition("\n#")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def write_rows(page: Path, heading: str, cells: list[list[str]]) -> None:
    """Replace the rows of the table under a heading; its header stays."""
    before, found, section = page.read_text().partition(f"# {heading}\n")
    assert found, f"{page} has no {heading!r}"
    table = re.search(r"(?:^\|.*\n){2}(?P<rows>(?:^\|.*\n)*)", section, re.MULTILINE)
    assert table, f"there is no table under {heading!r}"
    lines = "".join(f"| {' | '.join(row)} |\n" for row in cells)
    page.write_text(f"{before}{found}{section[: table.start('rows')]}{lines}{section[table.end('rows') :]}")
