"""What a Markdown page of this repository holds, taken apart so that tests can check it against the code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """A fenced block: its language and its text."""

    language: str
    text: str


class Page(NamedTuple):
    """A Markdown page.

    Attributes:
        name: Its file.
        text: All of it.
        prose: All but the fenced blocks.
        blocks: The fenced blocks, in order.
    """

    name: str
    text: str
    prose: str
    blocks: list[Block]

    @classmethod
    def read(cls, path: Path) -> Page:
        text = path.read_text(encoding="utf-8")
        blocks = [Block(*match.groups()) for match in _FENCE.finditer(text)]
        return cls(path.name, text, _FENCE.sub("", text), blocks)

    def headings(self) -> list[tuple[int, str]]:
        """Level and text of each heading."""
        return [(len(m[1]), m[2]) for m in re.finditer(r"^(#+) (.+)$", self.prose, re.MULTILINE)]

    def tables(self) -> list[list[list[str]]]:
        """Each table's rows of cells, its head first and without the line of dashes."""
        found: list[list[list[str]]] = []
        before = ""
        for line in self.prose.splitlines():
            if line.startswith("|"):
                if not before.startswith("|"):
                    found.append([])
                if not re.fullmatch(r"[|\-: ]+", line):
                    found[-1].append([cell.strip() for cell in line.strip("|").split("|")])
            before = line
        return found

    def section(self, heading: str) -> Page:
        """The part below a heading, up to the next one of its level or above."""
        match = re.search(rf"^(#+) {re.escape(heading)}\n", self.text, re.MULTILINE)
        assert match, f"{self.name} has no heading {heading!r}"
        rest = self.text[match.end() :]
        end = re.search(rf"^#{{1,{len(match[1])}}} ", rest, re.MULTILINE)
        part = rest[: end.start()] if end else rest
        blocks = [Block(*found.groups()) for found in _FENCE.finditer(part)]
        return Page(self.name, part, _FENCE.sub("", part), blocks)

    def inline_code(self) -> list[str]:
        """What stands between backticks in the prose."""
        return re.findall(r"`([^`\n]+)`", self.prose)

    def commands(self) -> Iterator[str]:
        """Command lines: those of bash blocks, comments and variables in front removed, and those in the prose."""
        lines = [line for block in self.blocks if block.language == "bash" for line in block.text.splitlines()]
        for line in [*lines, *self.inline_code()]:
            command = re.sub(r"\s+# .*|^# .*", "", line).strip()
            yield re.sub(r"^(\w+=\S* )+", "", command)

    def tree(self) -> dict[str, str]:
        """The annotated tree: path -> comment. Two spaces of indent are one folder; a folder ends with a slash."""
        match = re.search(r"<!-- tree -->\n```text\n(.*?)```\n<!-- /tree -->", self.text, re.DOTALL)
        assert match, f"{self.name} has no tree"
        found: dict[str, str] = {}
        above: list[str] = []
        for line in match[1].splitlines():
            parts = re.fullmatch(r"( *)(\S+)(?:\s{2,}(\S.*))?", line)
            assert parts, f"{self.name}: a line of the tree is not `name  comment`: {line!r}"
            above = [*above[: len(parts[1]) // 2], parts[2]]
            found["".join(above)] = parts[3] or ""
        return found
