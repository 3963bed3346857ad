"""Dates in the forms that data sets and people write; what cannot be read is counted and said."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lamp_files import INPUTS, item, write_split

from lampbench.data.audit import audit
from lampbench.dates import parse_date, read_dates, undated_rows
from lampbench.prompts import item_text
from lampbench.records.predictions import read_predictions
from lampbench.records.record import Record
from lampbench.runner.run import run

DAY = (2011, 5, 3)
MOMENT = (2022, 9, 8, 15, 0, 21)


@pytest.mark.parametrize(
    ("value", "numbers"),
    [
        # What the official program reads, as it reads it
        (2013, (2013,)),
        ("2013", (2013,)),
        (7, (7,)),
        (" 2013-05-02 ", (2013, 5, 2)),
        ("2013-5", (2013, 5)),
        ("2013-02-30", (2013, 2, 30)),
        ("2013-05-02-10-30", (2013, 5, 2, 10, 30)),
        # A part that is not given
        ("2013-05-00", (2013, 5)),
        ("2013-00-00", (2013,)),
        ("0000-00-00", None),
        # ISO 8601
        ("2022-09-08 15:00:21", MOMENT),
        ("2022-09-08T15:00:21.250Z", (*MOMENT, 250000)),
        ("2022-09-08T15:00:21,123456789+00:00", (*MOMENT, 123456)),
        ("2022-09-08T15:00:21.000", MOMENT),
        ("2022-09-08T17:00:21+02:00", MOMENT),
        ("2022-09-08 08:00:21 -0700", MOMENT),
        ("2022-09-08T17:00:21+02:00[Europe/Paris]", MOMENT),
        ("2022-09-08T15:00", (2022, 9, 8, 15, 0, 0)),
        ("2022-12-31T23:30:00-01:00", (2023, 1, 1, 0, 30, 0)),
        ("20110503", DAY),
        ("20220908150021", MOMENT),
        ("20220908T150021Z", MOMENT),
        ("2011/05/03", DAY),
        ("2011.5.3", DAY),
        ("2011/05", (2011, 5)),
        # Clocks
        (1662649221, MOMENT),
        ("1662649221", MOMENT),
        (1662649221.0, MOMENT),
        ("1662649221.5", (*MOMENT, 500000)),
        ("1662649221000", MOMENT),
        ("1662649221000001", (*MOMENT, 1)),
        ("1662649221000001000", (*MOMENT, 1)),
        ("1.662649221E+9", MOMENT),
        ("999999999", (2001, 9, 9, 1, 46, 39)),
        (2013.0, (2013,)),
        # Tweets, mails, shops
        ("Thu Sep 08 15:00:21 +0000 2022", MOMENT),
        ("Mon Apr 06 22:19:45 PDT 2009", (2009, 4, 7, 5, 19, 45)),
        ("3:00 PM · Sep 8, 2022", (2022, 9, 8, 15, 0, 0)),
        ("Thu, 08 Sep 2022 15:00:21 +0000", MOMENT),
        ("Thu, 08 Sep 2022 15:00:21 GMT", MOMENT),
        ("8 Sep 2022 17:00:21 +0200 (CEST)", MOMENT),
        ("Thu Sep 08 2022 17:00:21 GMT+0200 (Central European Summer Time)", MOMENT),
        ("Thu Sep 8 08:00:21 2022 -0700", MOMENT),
        ("05 3, 2011", DAY),
        ("12 31, 2011", (2011, 12, 31)),
        ("Reviewed in the United States on May 3, 2011", DAY),
        # People
        ("May 3, 2011", DAY),
        ("3 May 2011", DAY),
        ("3-May-2011", DAY),
        ("2011 May 3", DAY),
        ("tuesday, the 3rd of may 2011", DAY),
        ("Sept. 8, 2022 at 3:00:21 p.m.", MOMENT),
        ("12/31/2011 12:05 AM", (2011, 12, 31, 0, 5, 0)),
        ("March 2020", (2020, 3)),
        ("03/2020", (2020, 3)),
        ("31/12/2011", (2011, 12, 31)),
        ("12-31-2011", (2011, 12, 31)),
        ("05/05/2011", (2011, 5, 5)),
        ("3.5.2011", DAY),
        # No dates, or not one alone
        ("03/04/2020", None),
        ("03-04-2020", None),
        ("5.13.2011", None),
        ("13 3, 2011", None),
        ("03/04/20", None),
        ("3 May 11", None),
        ("May 3", None),
        ("May 2011 2012", None),
        ("2013-13-01", None),
        ("2022-02-30 15:00", None),
        ("2022-09-08 25:00", None),
        ("13:00 PM Sep 8, 2022", None),
        ("May 2011 15:00", None),
        ("Thu Sep 08 15:00:21 IST 2022", None),
        ("0001-01-01T00:00:00+05:00", None),
        ("15:00:21", None),
        ("2.718", None),
        ("20131301", None),
        ("12345678901", None),
        ("1e99", None),
        (None, None),
        ("", None),
        ("spring", None),
        ("2013-", None),
        ("-5", None),
        (True, None),
        ("9" * 5000, None),
    ],
)
def test_dates_are_read_or_refused(value: object, numbers: tuple[int, ...] | None) -> None:
    assert parse_date(value) == numbers


def test_numbers_that_end_with_the_year_are_read_as_the_profile_shows() -> None:
    assert read_dates(["03/04/2020", "13/02/2020"]) == [(2020, 4, 3), (2020, 2, 13)]
    assert read_dates(["03/04/2020", "02-13-2020 10:00"]) == [(2020, 3, 4), (2020, 2, 13, 10, 0, 0)]
    assert read_dates(["03/04/2020", "2020-12-31", "4/4/2020"]) == [None, (2020, 12, 31), (2020, 4, 4)]
    # Both orders in one profile: neither tells how to read the first.
    assert read_dates(["03/04/2020", "13/02/2020", "02/13/2020"]) == [None, (2020, 2, 13), (2020, 2, 13)]
    # Dots say their order, and nothing about slashes.
    assert read_dates(["03/04/2020", "13.02.2020"]) == [None, (2020, 2, 13)]


def test_a_row_is_undated_where_one_profile_cannot_read_it() -> None:
    dates = {0: "03/04/2020", 1: "13/02/2020", 2: None, 3: "spring", 4: "2020"}
    assert undated_rows([[0, 1], [3, 4]], dates) == {2, 3}
    assert undated_rows([[0, 1], [0, 4]], dates) == {0, 2}


@given(st.dates())
def test_official_dates_compare_as_in_the_official_program(day: date) -> None:
    assert parse_date(day.isoformat()) == tuple(int(part) for part in day.isoformat().split("-"))
    assert parse_date(day.year) == (day.year,) < parse_date(day.isoformat())


@given(
    st.datetimes(datetime(1974, 1, 1), datetime(2200, 1, 1)).map(lambda at: at.replace(microsecond=0)),
    st.integers(-12 * 60, 14 * 60),
)
def test_one_moment_is_one_date_in_every_form_and_zone(at: datetime, minutes: int) -> None:
    there = at.replace(tzinfo=timezone.utc).astimezone(timezone(timedelta(minutes=minutes)))
    seconds = int(there.timestamp())
    forms = [
        there.isoformat(),
        there.isoformat(" ", "milliseconds"),
        there.strftime("%a %b %d %H:%M:%S %z %Y"),
        there.strftime("%B %d, %Y at %I:%M:%S %p %z"),
        format_datetime(there),
        seconds,
        f"{seconds}.0",
        seconds * 1000,
        at.strftime("%Y/%m/%d %H:%M:%S UTC"),
    ]
    assert {parse_date(form) for form in forms} == {
        (at.year, at.month, at.day, at.hour, at.minute, at.second)
    }


@settings(deadline=None)
@given(
    st.one_of(st.text(max_size=20), st.text("0123456789-/.: apmt", max_size=20), st.integers(), st.floats())
)
def test_no_date_is_an_error(value: object) -> None:
    parsed = parse_date(value)
    assert parsed is None or all(isinstance(number, int) for number in parsed)


# ---- in a run


def of_dates(folder: Path, *profiles: list[object]) -> Path:
    """Data with a question per profile, whose items have these dates and bear their positions as ids."""
    questions = [
        {
            "id": f"q{n}",
            "input": INPUTS["LaMP-3"].format(n),
            "profile": [item("LaMP-3", str(i), f"{i} of {n}", date=at) for i, at in enumerate(dates)],
        }
        for n, dates in enumerate(profiles)
    ]
    write_split(folder, "LaMP-3", questions)
    return folder


Ranked = tuple[Record, dict[str, str], list[str]]


@pytest.fixture
def recency(tmp_path: Path, tiny_llm: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ranked]:
    """Runs recency on profiles with these dates: the record, the ranked ids by question, and what was said."""

    def go(*profiles: list[object]) -> Ranked:
        (record,) = run(
            "recency",
            "LaMP-3",
            setting="user",
            llm=str(tiny_llm),
            data=of_dates(tmp_path / "data", *profiles),
            set=("k=3",),
            results=tmp_path / "results",
            progress="plain",
        )
        ranked = {id: "".join(line["ranked"]) for id, line in read_predictions(record.predictions).items()}
        return record, ranked, [line for line in capsys.readouterr().err.splitlines() if "date" in line]

    return go


def test_recency_ranks_what_tweets_clocks_and_people_write(recency: Callable[..., Ranked]) -> None:
    tweets = [f"Mon Apr 06 22:19:45 PDT {year}" for year in (2011, 2014, 2009)]
    mixed = ["May 3, 2011", 1304294400, "2011-05-02T01:00:00Z"]
    record, ranked, said = recency(tweets, mixed, ["03/04/2020", "02/05/2020", "13/01/2020"])
    assert ranked == {"q0": "102", "q1": "021", "q2": "102"}
    assert (record.counts["undated"], record.data.counts["undated"], said) == (0, 0, [])


def test_what_recency_cannot_read_is_the_oldest_counted_and_said_once(recency: Callable[..., Ranked]) -> None:
    record, ranked, said = recency(["1066", "spring", None, "1999"], ["2001", "03/04/2020"], ["2001"])
    assert ranked == {"q0": "302", "q1": "01", "q2": "0"}
    assert record.counts["undated"] == record.data.counts["undated"] == 3
    (line,) = said
    assert "items without a date that can be read rank as the oldest" in line
    assert "'spring'" in line or "'03/04/2020'" in line


def test_the_audit_counts_what_recency_cannot_read(tmp_path: Path) -> None:
    folder = of_dates(tmp_path, ["May 3, 2011", "spring", 1304294400], ["03/04/2020", "2021"])
    (split,) = audit(folder, "LaMP-3").splits
    assert (split.findings["undated_items"].count, split.findings["undated_items"].first) == (2, ["q0", "q1"])
    assert split.findings["unsorted_profiles"].first == ["q0"]
    assert split.dates == ("1304294400", "2021")


def test_a_date_stands_in_prompts_as_it_is_written() -> None:
    dated = item("LaMP-4", "1", "x", date="Mon Apr 06 22:19:45 PDT 2009")
    assert item_text("LaMP-4", dated, date=True).endswith(" date: Mon Apr 06 22:19:45 PDT 2009")
