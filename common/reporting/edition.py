"""What a results page is made from: this machine's results, or the committed reference."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from common.reporting.stored import Source, Stored, committed, here, judged, once
from common.reporting.tables import Table
from common.running.cells import runs_folder
from common.running.provenance import ROOT

REPORT = ROOT / "results" / "report.html"
KEPT = r'<img [^>]*data-of="(\w+)"[^>]*src="([^"]*)"'


@dataclass(frozen=True)
class Edition:
    """What a page is made from.

    Attributes:
        folder: of the page, which links start from.
        source: where tables are read.
        ledger: where claims are read, the first first.
        draw: whether pictures are drawn that no file has; takes a minute.
        kept: pictures of the page as it was, by the key of what they were drawn from.
    """

    folder: Path
    source: Source
    ledger: tuple[Source, ...]
    draw: bool = True
    kept: dict[str, str] = field(default_factory=dict)

    def relative(self, path: Path) -> str:
        """A file's path from the page's folder."""
        return os.path.relpath(path, self.folder)


def of_this_machine(draw: bool = True) -> Edition:
    """Results of this machine as they are now, where there are none of the reference."""
    ours = once(here)
    reference = once(judged)

    def best(table: Table, preset: str) -> Stored | None:
        return ours(table, preset) or reference(table, preset)

    return Edition(runs_folder(), best, (ours, reference), draw)


def of_the_reference(draw: bool = True) -> Edition:
    """The committed reference alone, whatever the present code is."""
    pictures = re.findall(KEPT, REPORT.read_text()) if draw and REPORT.exists() else []
    return Edition(REPORT.parent, committed, (committed,), draw, dict(pictures))
