"""A page taken apart: by a real HTML parser, and by scripts that look round in it in a browser; and hostile texts."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

HOSTILE = (
    "</script><script>window.hacked = 1</script>",
    '"><img src=x onerror="window.hacked = 1"><b id="evil">',
    "<!--<script>",
    "]]></style><style>body{display:none}</style>",
    "{{ 7 * 7 }}{% for x in y %}${window.hacked = 1}`",
    "&lt;script&gt;&quot;&#39;",
    "左\u202e右\u2066<i>\u200f",
    "行\u2028段\u2029尾\x00\x1b[31m\x7f",
    "半个\ud83d字\udcff",
    "javascript:window.hacked = 1",
)


class PageParts(HTMLParser):
    """What the parser finds.

    Attributes:
        tags: Every start tag with its attributes, in order.
        scripts, styles: Texts of `<script>` elements that run, and of `<style>`.
        json: JSON elements, parsed, by id.
        text: All text outside scripts and styles.
    """

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.json: dict[str, Any] = {}
        self.bundle = ""
        self.text = ""
        self._inside: tuple[str, dict[str, str | None]] = ("", {})
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._inside = tag, dict(attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._inside = "", {}

    def handle_data(self, data: str) -> None:
        tag, attributes = self._inside
        kind, name = attributes.get("type"), attributes.get("id")
        if tag == "style":
            self.styles.append(data)
        elif tag == "script" and kind == "application/json":
            self.json[str(name)] = json.loads(data)
        elif tag == "script" and kind == "text/plain":
            self.bundle = data
        elif tag == "script":
            self.scripts.append(data)
        else:
            self.text += data

    @property
    def policy(self) -> dict[str, list[str]]:
        """The Content-Security-Policy: directive -> its words."""
        [content] = [a["content"] for tag, a in self.tags if a.get("http-equiv") == "Content-Security-Policy"]
        words = (directive.split() for directive in str(content).split(";"))
        return {first: rest for first, *rest in words}

    def shown(self) -> str:
        """The text with runs of blanks as one."""
        return re.sub(r"\s+", " ", self.text)


def digest(text: str) -> str:
    """As a Content-Security-Policy writes it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


# Controls and areas that a screen reader could not name.
UNNAMED = """[...document.querySelectorAll("button, input, select, a, summary, [role=region], nav")]
    .filter((node) => node.checkVisibility() && !(node.ariaLabel || node.title || node.textContent.trim()))
    .filter((node) => !node.labels?.[0]?.textContent.trim())
    .map((node) => node.outerHTML.slice(0, 90))"""

# Texts with less contrast to what is behind them than WCAG AA asks: 4.5, large ones 3.
CONTRAST = """() => {
    const canvas = Object.assign(document.createElement("canvas"), {width: 1, height: 1});
    const context = canvas.getContext("2d", {willReadFrequently: true});
    const rgba = (colour) => {
        context.clearRect(0, 0, 1, 1);
        context.fillStyle = colour;
        context.fillRect(0, 0, 1, 1);
        return [...context.getImageData(0, 0, 1, 1).data].map((n) => n / 255);
    };
    const over = ([r, g, b, a], under) => [r, g, b].map((n, i) => n * a + under[i] * (1 - a));
    const light = (c) => c.map((n) => n <= 0.03928 ? n / 12.92 : ((n + 0.055) / 1.055) ** 2.4)
        .reduce((sum, n, i) => sum + n * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = (node) =>
        node ? over(rgba(getComputedStyle(node).backgroundColor), behind(node.parentElement)) : [1, 1, 1];
    const poor = new Set();
    for (const node of document.body.querySelectorAll("*")) {
        if (node.closest("svg, script, option, [hidden], .tip") || !node.checkVisibility()) continue;
        if (![...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim())) continue;
        const style = getComputedStyle(node), under = behind(node), ink = over(rgba(style.color), under);
        const [a, b] = [light(ink), light(under)], ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        const wanted = parseFloat(style.fontSize) >= 24 ? 3 : 4.5;
        if (ratio < wanted) poor.add(`${node.tagName}.${node.className} ${ratio.toFixed(2)}`);
    }
    return [...poor];
}"""

# How many milliseconds each [name, value] of a filter takes to show its turns, the better of two.
FILTER_TIMES = """async (steps) => {
    const form = document.getElementById("filters"), took = {};
    for (const [name, value] of steps) for (let time = 0; time < 2; time++) {
        const start = performance.now();
        form.elements[name].value = value;
        form.elements[name].dispatchEvent(new Event("input", {bubbles: true}));
        document.body.getBoundingClientRect(); // the layout counts too
        const now = performance.now() - start, key = `${name}=${value}`;
        took[key] = Math.min(took[key] ?? Infinity, now);
        await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    }
    return took;
}"""
