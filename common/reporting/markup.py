"""HTML and Markdown of the results page: headings, tables, pictures, and how they look.

Offline: no script, nothing from the network. Dark where the reader's machine is, one column on a
phone, no side bar on paper.
"""

import base64
import html as escape
import re
import struct
import urllib.parse
from collections.abc import Sequence

from tabulate import tabulate

STYLE = """
:root {
  color-scheme: light dark;
  --line: #8884; --soft: #8881; --page: #fff; --text: #1b1f24; --quiet: #5b6470; --link: #0b5cad;
  --good: #0a6b35; --bad: #a8201a; --open: #735600;
  --good-soft: #0a7a3d22; --bad-soft: #b3261e22; --open-soft: #c9a2272b;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14181d; --text: #e3e7ec; --quiet: #9aa5b1; --link: #7ab7ff;
    --good: #67d692; --bad: #ff938a; --open: #e3c463;
    --good-soft: #5fd38d26; --bad-soft: #ff8a8026; --open-soft: #e0c06022;
  }
}
* { box-sizing: border-box; }
html { scroll-padding-top: .5rem; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0; background: var(--page);
  color: var(--text); }
a { color: var(--link); text-decoration-thickness: 1px; text-underline-offset: 2px; }
.frame { display: grid; grid-template-columns: 15.5rem minmax(0, 1fr); max-width: 96rem;
  margin: 0 auto; }
.side { position: sticky; top: 0; height: 100vh; overflow-y: auto; padding: 1.2rem .8rem;
  border-right: 1px solid var(--line); font-size: 14px; }
.side ul { list-style: none; margin: 0 0 .8rem; padding: 0; }
.side > a { display: block; } .side li { padding: .1rem 0; } .side a { text-decoration: none; }
.side b { display: block; margin-top: .5rem; } .side i { color: var(--quiet); }
.index { display: none; }
main { padding: 1.2rem clamp(.8rem, 2.5vw, 2.5rem) 4rem; }
h1 { line-height: 1.15; font-size: 1.9rem; margin: .2rem 0 .6rem; }
h2 { margin: 3rem 0 .6rem; padding-bottom: .2rem; border-bottom: 2px solid var(--line); }
h3 { margin: 2.4rem 0 .3rem; line-height: 1.25; } h4 { margin: 1.4rem 0 .2rem; }
h2 .up, h3 .up { float: right; font-size: 13px; font-weight: 400; text-decoration: none; }
.lead { max-width: 48rem; } .facts { font-size: 13.5px; color: var(--quiet); max-width: 62rem; }
.cards { display: grid; gap: 1rem; margin: 1.2rem 0;
  grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); }
.card { border: 1px solid var(--line); border-radius: 8px; padding: .8rem 1rem; }
.card h3 { margin: 0 0 .3rem; } .card p { margin: .4rem 0; font-size: 15px; }
.bar { display: block; width: 100%; height: 12px; border-radius: 3px; }
.bar .holds, .dot.holds { fill: var(--good); background: var(--good); }
.bar .contradicted, .dot.contradicted { fill: var(--bad); background: var(--bad); }
.bar .alone, .dot.alone { opacity: .45; }
.bar .undecided, .dot.undecided { fill: #b99a2f; background: #b99a2f; }
.bar .not, .bar .stale, .dot.not { fill: #8886; background: #8886; }
.dot { display: inline-block; width: .7em; height: .7em; border-radius: 2px; margin: 0 .3em 0 0; }
.scroll { overflow-x: auto; margin: .5rem 0 1rem; } .scroll:focus { outline: 2px solid; }
table { border-collapse: collapse; font-size: 14px; }
.caption { font-size: 14px; margin: .8rem 0 -.2rem; color: var(--quiet); max-width: 62rem; }
th, td { border: 1px solid var(--line); padding: .25rem .5rem; }
th, td { text-align: left; vertical-align: top; }
thead th { background: var(--soft); }
.scroll :is(th, td):first-child { position: sticky; left: 0; background: var(--page); }
.scroll thead th:first-child { background: linear-gradient(var(--soft), var(--soft)), var(--page); }
td.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.many { font-size: 12.5px; } .many th, .many td { padding: .2rem .35rem; }
.grid th[scope=row] { font-weight: 500; }
.grid td { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.grid td small { display: block; color: var(--quiet); font-size: 12.5px; }
.grid td.same { background: var(--good-soft); } .grid td.differs { background: var(--bad-soft); }
.grid td.open { background: var(--open-soft); }
.grid td.none { color: var(--quiet); white-space: normal; }
.grid td.differs b::after { content: " \\2260"; }
.grid td.same b::after { content: " \\2248"; } .grid td.open b::after { content: " ?"; }
.claims td:nth-child(2) { min-width: min(20rem, 58vw); }
.claims small { display: block; color: var(--quiet); } .claims small.why { color: inherit; }
.claims td.verdict { white-space: nowrap; }
.holds { color: var(--good); font-weight: 600; }
.contradicted, .differs { color: var(--bad); font-weight: 600; }
.undecided, .too { color: var(--open); } .stale, .missing, .not { color: var(--quiet); }
.grid td.differs { color: inherit; font-weight: 400; }
figure { margin: .6rem 0; } figcaption { font-size: 14px; padding-bottom: .3rem; }
img { max-width: 100%; height: auto; background: #fff; border-radius: 4px; }
.picture { margin: .6rem 0; }
code { font-size: 90%; overflow-wrap: anywhere; }
details { margin: .4rem 0; }
summary { cursor: pointer; padding: .2rem 0; } summary:focus-visible { outline: 2px solid; }
@media (max-width: 900px) {
  .frame { display: block; } .side { display: none; } .index { display: block; }
  .index ul { margin: 0 0 .8rem; padding-left: 1.1rem; columns: 16rem auto; }
  .index { font-size: 15px; } .index > details > a, .index b { display: block; }
  .index a { line-height: 1.7; }
  h1 { font-size: 1.5rem; } h2 { margin-top: 2.2rem; }
  h2 .up, h3 .up { float: none; margin-left: .5rem; }
}
@media (max-width: 600px) {
  .scroll :is(th, td):first-child { max-width: 38vw; overflow-wrap: break-word; }
  .picture { overflow-x: auto; } .picture img { max-width: max(100%, 700px); }
  .claims, .claims tbody, .claims tr, .claims td { display: block; max-width: none !important; }
  .claims thead { display: none; }
  .claims tr { border: 1px solid var(--line); margin: 0 0 .6rem; padding: .3rem .6rem; }
  .claims td { border: 0; padding: .1rem 0; }
  .claims td:nth-child(n+3) { display: inline-block; padding-right: 1rem; }
  .claims td:nth-child(n+3) small { display: inline; margin-left: .4rem; }
  .claims td:nth-child(n):empty { display: none; }
  .claims td:nth-child(4)::before { content: "n = "; }
  .claims td:nth-child(5)::before { content: "p (Holm): "; }
  .claims td:nth-child(6)::before { content: "made by "; }
}
@media print {
  .frame { display: block; } .side, .index, .up { display: none; }
  .scroll { overflow: visible; } body { font-size: 10.5px; } table { font-size: 8.5px; }
  .claims td { min-width: 0 !important; } h2 { break-before: page; margin-top: 0; }
  h2:first-of-type { break-before: auto; } h3, .facts, figcaption { break-after: avoid; }
  tr, img, .card, figure { break-inside: avoid; } img { max-height: 9cm; width: auto; }
  .grid th, .grid td { white-space: normal; padding: 1px 3px; }
  details::details-content { content-visibility: visible; height: auto; }
  main { padding: 0; } * { print-color-adjust: exact; }
}
"""
NUMBER = re.compile(r"[-+]?[\d.]+(e-?\d+)?( (\+-|±) [\d.]+)?( \[.*\])?( \(\d+ diverged\))?|\[.*\]")
UNDONE = ("stale", "missing")  # first words of states
TALL = 1200  # pixels of a picture's height that a screen does not show
HEADER = 32  # characters of base64 that hold a PNG's first 24 bytes, which end in its size


class Page:
    """HTML and Markdown, written side by side.

    Attributes:
        words: cells of tables that get their first word as a class.
    """

    def __init__(self, words: Sequence[str] = ()) -> None:
        self.words = {*words}
        self.html: list[str] = []
        self.markdown: list[str] = []

    def raw(self, html: str) -> None:
        """In HTML only."""
        self.html.append(html)

    def heading(self, level: int, text: str, anchor: str = "") -> None:
        name = f' id="{anchor}"' if anchor else ""
        up = '<a class=up href="#top" aria-label="to the top">&uarr; top</a>' if anchor else ""
        self.html.append(f"<h{level}{name}>{escape.escape(text)}{up}</h{level}>")
        self.markdown.append(f"\n{'#' * level} {plain(text)}\n")

    def paragraph(self, text: str, kind: str = "") -> None:
        self.html.append(f"<p{f' class={kind}' if kind else ''}>{escape.escape(text)}</p>")
        self.markdown.append(f"{plain(text)}\n")

    def table(
        self,
        rows: Sequence[Sequence],
        header: list[str],
        caption: str,
        folded: bool = False,
        links: Sequence[str] = (),
    ) -> None:
        """A table in both; folded in HTML under its caption."""
        table = self.html_table(rows, header, caption, links)
        self.html.append(fold(caption, table) if folded else captioned(caption, table))
        self.only_markdown(rows, header)

    def only_markdown(self, rows: Sequence[Sequence], header: list[str]) -> None:
        """A table in Markdown, where HTML has another form of it."""
        escaped = [[plain(cell) for cell in row] for row in rows]
        titles = [plain(title) for title in header]
        text = tabulate(escaped, titles, tablefmt="github", disable_numparse=True)
        self.markdown.append(f"{text}\n")

    def picture(self, source: str, says: str, key: str = "") -> None:
        """A picture inside the page, folded where it is taller than a screen; in HTML only.

        Args:
            source: its address, see `inline`.
            key: of what it was drawn from.
        """
        name = escape.escape(says, quote=True)
        drawn_from = f' data-of="{key}"' if key else ""
        width, height = size_of(source)
        size = f'width="{width}" height="{height}"'
        image = f'<img alt="{name}"{drawn_from} loading="lazy" {size} src="{source}">'
        html = f"<figure class=picture>{image}</figure>"
        if height > TALL:
            html = f"<details class=picture><summary>Picture</summary>{image}</details>"
        self.html.append(html)

    def html_table(
        self, rows: Sequence[Sequence], header: list[str], caption: str, links: Sequence[str] = ()
    ) -> str:
        """A table that scrolls by itself and that a screen reader can name.

        Args:
            links: of every row, the file that its number in column "ours" comes from.
        """

        def line(row: Sequence, link: str) -> str:
            columns = zip(header, row, strict=True)
            return "".join(self.cell(v, link if title == "ours" else "") for title, v in columns)

        of_row = links or [""] * len(rows)
        body = "".join(
            f"<tr>{line(row, link)}</tr>" for row, link in zip(rows, of_row, strict=True)
        )
        titles = "".join(f'<th scope="col">{escape.escape(title)}</th>' for title in header)
        return framed(f"<thead><tr>{titles}</tr></thead><tbody>{body}</tbody>", caption)

    def cell(self, value: object, link: str = "") -> str:
        """A cell of a table; words of verdict and numbers get their class."""
        text = str(value)
        kind = "number" if NUMBER.fullmatch(text) else ""
        if text in self.words or text.startswith(UNDONE):
            kind = text.split()[0].rstrip(":")
        content = escape.escape(text)
        if link:
            content = f'<a href="{address(link)}">{content}</a>'
        return f"<td{f' class={kind}' if kind else ''}>{content}</td>"


def inline(png: bytes) -> str:
    """A PNG as an address that holds it."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def size_of(source: str) -> tuple[int, int]:
    """Width and height of a picture that `inline` made an address of, from the PNG's header."""
    header = base64.b64decode(source.partition(",")[2][:HEADER])
    width, height = struct.unpack(">16x2I", header[:24])
    return width, height


def framed(content: str, caption: str, kind: str = "") -> str:
    """A table of this content, in a frame that scrolls and that a screen reader can name."""
    name = escape.escape(caption, quote=True)
    style = f' class="{kind}"' if kind else ""
    table = f"<table{style}>{content}</table>"
    return f'<div class="scroll" role="region" tabindex="0" aria-label="{name}">{table}</div>'


def captioned(caption: str, html: str) -> str:
    """A table below its caption, which does not scroll with it."""
    return f"<p class=caption>{escape.escape(caption)}</p>{html}"


def fold(title: str, html: str) -> str:
    """HTML that opens at a click."""
    return f"<details><summary>{escape.escape(title)}</summary>{html}</details>"


def plain(value: object) -> str:
    """Text as Markdown that shows it as it is: no HTML, no column of its own."""
    return escape.escape(str(value), quote=False).replace("|", "\\|")


def text(value: object) -> str:
    """Text in HTML."""
    return escape.escape(str(value))


def address(path: str) -> str:
    """A relative path as an address."""
    return urllib.parse.quote(path)


def link(path: str, says: str) -> str:
    """A link to a file."""
    return f'<a href="{address(path)}">{escape.escape(says)}</a>'


def style_of(word: str) -> str:
    """The style classes of a verdict or of a share of a bar: its first word, and `alone`."""
    first, *others = word.split()
    return f"{first} alone" if others == ["alone"] else first


def shares(counts: dict[str, int]) -> str:
    """A bar of counts by word, as SVG."""
    whole = sum(counts.values()) or 1
    parts = []
    begin = 0.0
    for word, count in counts.items():
        width = 100 * count / whole
        parts.append(
            f'<rect class="{style_of(word)}" x="{begin:.2f}" y="0" width="{width:.2f}" height="10">'
            f"<title>{count} {word}</title></rect>"
        )
        begin += width
    says = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    return (
        f'<svg class=bar viewBox="0 0 100 10" preserveAspectRatio="none" role="img" '
        f'aria-label="{says}">{"".join(parts)}</svg>'
    )


def document(title: str, side: str, content: str) -> str:
    """A whole page."""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head><body id=top><div class=frame>"
        f"<nav class=side aria-label=contents>{side}</nav><main>\n"
        f"<nav class=index aria-label=contents>{fold('Contents', side)}</nav>\n"
        f"{content}\n</main></div></body></html>\n"
    )
