"""The benchmark's figures: a table for people, a JSON file, a plot where matplotlib is."""

from __future__ import annotations

import importlib
import json
import statistics
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.bench.gpu_replay import Pass
from scripts.bench.gpu_sweep import PREDICT, SHUFFLED, WINDOW

ONE_BY_ONE = "transformers, one by one"


class Figures:
    """All that was measured, written anew after each pass: a run that is cut short leaves what it has.

    Args:
        folder: For `gpu_bench.json` and `gpu_bench.png`.
        about: Machine, versions, options.
    """

    def __init__(self, folder: Path, about: dict[str, Any]) -> None:
        self._folder = folder
        self._about = about
        self.engines: dict[str, dict[str, Any]] = {}
        self.sets: dict[str, dict[str, Any]] = {}
        self.ratios: dict[str, dict[str, float]] = {}
        self.left_out: dict[str, list[str]] = {}
        self._passes: list[dict[str, Any]] = []
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, part: str, workload: str, what: str, one: Pass) -> None:
        """Take a pass in."""
        self._passes.append({"part": part, "workload": workload, "what": what, **one.figures()})
        self.write()

    def write(self) -> None:
        """Write the JSON file."""
        (self._folder / "gpu_bench.json").write_text(json.dumps(self.as_dict(), ensure_ascii=False, indent=1), "utf-8")

    def as_dict(self) -> dict[str, Any]:
        """What the JSON file holds."""
        return {
            "about": self._about,
            "engines": self.engines,
            "sets": self.sets,
            "ratios": self.ratios,
            "left_out": self.left_out,
            "passes": self._passes,
        }

    def table(self) -> str:
        """One line for each kind of pass over each test set: medians of its passes."""
        lines = [f"{name}: {value}" for name, value in self._about.items()]
        lines += [f"engine {name}: {json.dumps(value, ensure_ascii=False)}" for name, value in self.engines.items()]
        head = f"{'':38}{'interact/s':>11}{'turns/s':>9}{'prompt/s':>10}{'output/s':>9}{'cached':>8}"
        head += f"{'running':>9}{'peak':>6}{'preempt':>8}  passes (interactions/s)"
        for key in dict.fromkeys((row["part"], row["workload"]) for row in self._passes):
            name = " / ".join(key)
            found = [row for row in self._passes if (row["part"], row["workload"]) == key]
            lines += ["", f"{name}: {json.dumps(self.sets.get(name, {}), ensure_ascii=False)}", head]
            lines += [_line([row for row in found if row["what"] == what]) for what in _in_order(found)]
            for label, value in self.ratios.get(name, {}).items():
                lines.append(f"  {label.replace('_', ' ')}: {value}")
            if left_out := self.left_out.get(name):
                lines.append(f"  no time for: {', '.join(left_out)}")
        return "\n".join(lines)

    def plot(self) -> None:
        """Interactions/s over the window, a panel for each test set; nothing where matplotlib is absent."""
        try:
            importlib.import_module("matplotlib").use("Agg")
        except ImportError:
            return
        pyplot = importlib.import_module("matplotlib.pyplot")

        keys = list(dict.fromkeys((r["part"], r["workload"]) for r in self._passes if r["what"].startswith(WINDOW)))
        if not keys:
            return
        figure, panels = pyplot.subplots(1, len(keys), figsize=(5 * len(keys), 4), squeeze=False)
        for panel, key in zip(panels[0], keys, strict=True):
            found = [row for row in self._passes if (row["part"], row["workload"]) == key]
            points = sorted(
                (int(row["what"].removeprefix(WINDOW)), row["interactions_per_s"])
                for row in found
                if row["what"].startswith(WINDOW)
            )
            panel.plot([x for x, _ in points], [y for _, y in points], "o-", label="bare engine, fixed window")
            for what, colour in ((PREDICT, "C1"), (SHUFFLED, "C3")):
                rows = [row for row in found if row["what"] == what]
                if rows:
                    panel.axhline(_median(rows, "interactions_per_s"), color=colour, label=what)
            panel.set(xscale="log", xlabel="interactions at once", ylabel="interactions/s", title=" / ".join(key))
            panel.set_ylim(bottom=0)
            panel.legend(fontsize=8)
        figure.tight_layout()
        figure.savefig(self._folder / "gpu_bench.png", dpi=120)


def _in_order(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Predict first, windows by size, then the rest."""
    names = dict.fromkeys(row["what"] for row in rows)

    def place(name: str) -> tuple[int, int]:
        if name.startswith(WINDOW):
            return 1, int(name.removeprefix(WINDOW))
        return (0, 0) if name == PREDICT else (2, 0)

    return sorted(names, key=place)


def _line(rows: Sequence[dict[str, Any]]) -> str:
    rates = {
        name: _median(rows, name)
        for name in ("interactions_per_s", "turns_per_s", "prompt_tokens_per_s", "output_tokens_per_s", "cached_share")
    }
    preemptions = "" if rows[0]["preemptions"] is None else f"{_median(rows, 'preemptions'):.0f}"
    text = f"{rows[0]['what']:38}{rates['interactions_per_s']:11.3f}{rates['turns_per_s']:9.2f}"
    text += f"{rates['prompt_tokens_per_s']:10,.0f}{rates['output_tokens_per_s']:9,.0f}{rates['cached_share']:8.1%}"
    text += f"{_median(rows, 'running'):9.1f}{_median(rows, 'peak_running'):6.0f}{preemptions:>8}  "
    return text + " ".join(f"{row['interactions_per_s']:.2f}" for row in rows)


def _median(rows: Sequence[dict[str, Any]], name: str) -> float:
    return float(statistics.median(row[name] for row in rows))


def device_name() -> str:
    """The first GPU's name, without touching it from this process; "no GPU" where there is none."""
    command = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "no GPU"
    return found.stdout.splitlines()[0].strip()
