"""Tables as text: whatever a cell holds stays in its cell, in every format."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lampbench.errors import RequestError
from lampbench.report.markup import Facts, Heading, Paragraph, Table, Text, clean, render


def table(*cells: str | Text | None) -> Table:
    return Table(("name", *(f"c{i}" for i in range(len(cells) - 1))), (tuple(cells),))


class Cells(HTMLParser):
    """The tags of a page and the text of its cells."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.cells: list[str] = []
        self.inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)
        self.inside = self.inside or tag == "td"
        if tag == "td":
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag != "td"

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.cells[-1] += data


def test_markdown_columns_are_aligned_in_the_raw_text() -> None:
    page = Table(("Method", "Score"), (("a", Text("0.5", bold=True)), ("longer name", None)))
    assert render([page], "md").splitlines() == [
        "| Method      |   Score |",
        "| ----------- | ------: |",
        "| a           | **0.5** |",
        "| longer name |       – |",
    ]


def test_headings_facts_and_paragraphs() -> None:
    page = [
        Heading("Title", 1),
        Facts((("LLM", "x"),)),
        Paragraph(("Run", Text("a b", code=True), ", twice.")),
    ]
    assert render(page, "md") == "# Title\n\n- LLM: x\n\nRun `a b`, twice.\n"
    assert "<p>Run <code>a b</code>, twice.</p>" in render(page, "html")
    assert r"Run \texttt{a b}, twice." in render(page, "latex")


def test_long_paragraphs_are_filled_and_no_line_begins_like_a_list() -> None:
    words = ("word " * 21 + "- 1. # > x ") * 3
    lines = render([Paragraph((words,))], "md").splitlines()
    assert max(map(len, lines)) <= 112
    assert not any(re.match(r"(-|\d+\.|#|>)(\s|$)", line) for line in lines)


def test_a_readable_comparison_stays_readable_in_markdown() -> None:
    assert "p < 0.05 & q, some_method" in render([Paragraph(("p < 0.05 & q, some_method",))], "md")


@given(st.text(), st.text())
def test_any_text_stays_in_its_cell(a: str, b: str) -> None:
    page = table(a, b)
    line = render([page], "md").splitlines()[2]
    assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) == 3
    assert not re.search(r"<[A-Za-z/!?]", line)
    assert len(render([page], "md").splitlines()) == 3
    found = Cells(render([page], "html"))
    assert found.cells == [clean(a), clean(b)]
    assert set(found.tags) <= {
        *(
            "html",
            "head",
            "meta",
            "title",
            "style",
            "body",
            "div",
            "table",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
        )
    }
    row = [row for row in render([page], "latex").splitlines() if row.endswith(r" \\")]
    assert len(row) == 2
    assert len(re.findall(r"(?<!\\)&", row[1])) == 1


@given(st.text())
def test_code_cannot_be_left(text: str) -> None:
    line = render([table(Text(text, code=True), "x")], "md").splitlines()[2]
    assert line.count("|") == 3
    assert line.count("`") == 2


@pytest.mark.parametrize("text", ["[1] quoted", "100% & $5 #1 a_b {x} \\y ~ ^", "<b>'\"`|"])
def test_latex_has_no_bare_special_character(text: str) -> None:
    row = render([table(text, "x")], "latex").splitlines()
    (line,) = [r for r in row if r.endswith(r"& x \\")]
    cell = line.removesuffix(r" & x \\")
    assert not re.search(r"(?<!\\)[%$#&_~^]", cell)
    assert not cell.startswith("[")


def test_characters_that_hide_or_reorder_text_are_gone() -> None:
    assert clean("a\u202eb\x00c\nd\u2028e\ud800f\u200bg") == "a b c d e f g"


def test_an_unknown_format_is_a_wrong_request() -> None:
    with pytest.raises(RequestError, match="did you mean 'latex'"):
        render([], "latx")
