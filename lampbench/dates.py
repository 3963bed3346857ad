"""The dates of profile items, as data sets and people write them, read so that they compare in order of time.

A date is a tuple of numbers: year, month, day, hour, minute, second and microsecond, as far as they are given,
in UTC; a time without a zone counts as UTC. A year comes before its days and a day before its hours, as in the
official program (LaMP/rank_profiles.py in github.com/LaMP-Benchmark/LaMP), which reads `2013` and `2013-05-02`
and stops at everything else. Read here besides:

* the same with slashes or dots, `20130502`, and times of ISO 8601; a month or day of 0 counts as not given;
* clocks: seconds, milli-, micro- or nanoseconds since 1970, told apart by their number of digits;
* English months: `Mon Apr 06 22:19:45 PDT 2009` (tweets), `Thu, 08 Sep 2022 15:00:21 +0000` (RFC 2822),
  `March 3, 2020`, `3 Mar 2020`, `Reviewed in Canada on March 3, 2020`, `Mar 3, 2020 at 5:30 PM`;
* `05 3, 2011`: the month first, as in the Amazon review data of McAuley et al.;
* `3.4.2020`: the day first, because nowhere do dots follow a month that stands first;
* `03/04/2020`, `03-04-2020`: in the order that other dates of the same profile show (`13/02/2020`). Where none
  shows one, or they show both, the item is undated: each order would be a guess.

Years of two digits, days that no calendar has, and zones whose name means several (IST) are not read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal

Date = tuple[int, ...]
Order = Literal["day", "month"]
"""What stands first in a date that ends with the year."""

_LONGEST = 100  # characters; a longer text is no date
_REMEMBERED = 2**17  # texts: a profile is ranked anew for every question of its user


def read_dates(values: Sequence[Any]) -> list[Date | None]:
    """The dates of one profile; None where there is none, or none that can be read.

    >>> read_dates(["03/04/2020", "2020-03-25", "25/03/2020"])
    [(2020, 4, 3), (2020, 3, 25), (2020, 3, 25)]
    """
    dates = [parse_date(value) for value in values]
    if None in dates and (order := _shown_order(values)) is not None:
        dates = [parse_date(value, order) for value in values]
    return dates


def undated_rows(profiles: Sequence[Sequence[int]], dates: Mapping[int, Any]) -> set[int]:
    """The rows of an items table whose date cannot be read, in one profile that shows them at least.

    Args:
        profiles: the rows that each shows.
        dates: what is written, by row; None where there is no date.
    """
    undated = {row for row, date in dates.items() if date is None}
    unclear = {row for row, date in dates.items() if date is not None and parse_date(date) is None}
    for profile in profiles:
        if not unclear.isdisjoint(profile):
            read = read_dates([dates[row] for row in profile])
            undated |= {row for row, date in zip(profile, read, strict=True) if date is None}
    return undated


def parse_date(value: Any, order: Order | None = None) -> Date | None:
    """One date; None where there is none to read. `order` says how to read `03/04/2020`.

    >>> parse_date("2013-05-02"), parse_date(2013), parse_date("May 2, 2013 at 5:30 PM"), parse_date("spring")
    ((2013, 5, 2), (2013,), (2013, 5, 2, 17, 30, 0), None)
    """
    return None if value is None else _parsed(str(value).strip(), order)


@lru_cache(maxsize=_REMEMBERED)
def _parsed(text: str, order: Order | None) -> Date | None:
    if _OFFICIAL.fullmatch(text):
        return _checked(*map(int, text.split("-")))
    if len(text) > _LONGEST:
        return None
    if _NUMBER.fullmatch(text):
        return _lone_number(Decimal(text), text)
    return _written(text.lower(), order)


# Dates as the official program takes them: a year (or a running number), or numbers from the year on.
_OFFICIAL = re.compile(r"\d{1,7}|\d{4}(?:-\d{1,2}){1,5}")


def _checked(year: int, month: int | None = None, day: int = 0, *time: int) -> Date | None:
    """The numbers as a date. February 30 passes, as in the official program: it has its place in time."""
    if month is None:
        return (year,)
    if not year or month > 12 or day > 31 or any(n > 59 for n in time):
        return None
    if not month:
        return (year,)
    return (year, month, day, *time) if day else (year, month)


# Clocks, and other numbers that stand alone

_NUMBER = re.compile(r"\d+(?:\.\d*)?(?:[eE]\+?\d{1,2})?", re.ASCII)
_EPOCH = datetime(1970, 1, 1)
_TICKS = {9: 1, 10: 1, 12: 10**3, 13: 10**3, 15: 10**6, 16: 10**6, 18: 10**9, 19: 10**9}
"""Ticks per second of a clock by its number of digits: unlike from 1973 to 2286."""


def _lone_number(number: Decimal, text: str) -> Date | None:
    whole = str(int(number))
    if ticks := _TICKS.get(len(whole)):
        return _moment(_EPOCH + timedelta(microseconds=int(number * 10**6 / ticks)))
    if number == int(number):  # 2013.0, as tables with gaps have it, or digits without a hyphen
        if len(whole) in (8, 14):
            return _checked(*map(int, (whole[:4], *re.findall("..", whole[4:]))))
        return (int(number),) if len(whole) < 8 else None
    year, _, month = text.partition(".")
    return _checked(int(year), int(month)) if len(year) == 4 and len(month) == 2 else None


# What people write

_WEEKDAY = r"(?:mon|tues?|wed(?:nes)?|thu(?:rs?)?|fri|sat(?:ur)?|sun)(?:day)?"
_BEFORE = re.compile(rf"(?:reviewed in .{{1,50}}? on |on )?(?:{_WEEKDAY}\b[.,]?\s+)?")
_BRACKETS = re.compile(r"\s*(?:\([^()]*\)|\[[^\[\]]*\])$")  # a comment on the zone
_HOURS = {"z": 0, "ut": 0, "utc": 0, "gmt": 0, "wet": 0, "west": 1, "cet": 1, "cest": 2, "eet": 2, "eest": 3}
_HOURS |= {"est": -5, "edt": -4, "cst": -6, "cdt": -5, "mst": -7, "mdt": -6, "pst": -8, "pdt": -7}
_HOURS |= {"msk": 3, "jst": 9}
"""Zones by name: those of RFC 2822 (section 4.3), and others that are alone in having theirs."""
_ZONE = rf"(?P<zone>(?:utc|gmt)?[+-]\d\d:?(?:\d\d)?|(?:{'|'.join(_HOURS)})\b)"
_TIME = re.compile(
    r"(?:(?<=\d)t|(?<![\d:.])(?:at )?)(?P<hour>\d\d?):(?P<minute>\d\d)"
    r"(?::(?P<second>\d\d)(?:[.,](?P<part>\d{1,9}))?)?"
    rf"(?:\s?(?P<half>[ap])\.?m\b\.?)?(?:\s?{_ZONE})?"
)
_ZONE_AT_END = re.compile(rf"\s{_ZONE}$")
_BASIC = re.compile(r"^(\d{4})(\d\d)(\d\d)t(\d\d)(\d\d)(\d\d)")  # ISO 8601 without hyphens and colons


def _written(text: str, order: Order | None) -> Date | None:
    text = _BRACKETS.sub("", text) if text.endswith((")", "]")) else text
    text = _BEFORE.sub("", _BASIC.sub(r"\1-\2-\3t\4:\5:\6", text), count=1)
    time = _TIME.search(text)
    if time is None:
        return _day(text, order)
    rest, zone = f"{text[: time.start()]} {text[time.end() :]}", time["zone"]
    if zone is None and (late := _ZONE_AT_END.search(rest)):
        rest, zone = rest[: late.start()], late["zone"]
    date, hour = _day(rest, order), _hour(int(time["hour"]), time["half"])
    if date is None or len(date) < 3 or hour is None:
        return None
    # Second 60 is a leap second, which this clock has not.
    second, part = min(int(time["second"] or 0), 59), int((time["part"] or "").ljust(6, "0")[:6])
    try:
        at = datetime(date[0], date[1], date[2], hour, int(time["minute"]), second, part)
        return _moment(at - _offset(zone))
    except (ValueError, OverflowError):
        return None


def _hour(hour: int, half: str | None) -> int | None:
    if half is None:
        return hour
    return hour % 12 + (12 if half == "p" else 0) if 1 <= hour <= 12 else None


def _offset(zone: str | None) -> timedelta:
    """What the clocks of a zone are ahead of UTC."""
    if zone is None or zone in _HOURS:
        return timedelta(hours=_HOURS[zone or "z"])
    digits = zone.removeprefix("utc").removeprefix("gmt").replace(":", "")
    ahead = timedelta(hours=int(digits[1:3]), minutes=int(digits[3:] or 0))
    return ahead if digits[0] == "+" else -ahead


def _moment(at: datetime) -> Date:
    moment = (at.year, at.month, at.day, at.hour, at.minute, at.second)
    return (*moment, at.microsecond) if at.microsecond else moment


_YEAR_FIRST = re.compile(r"(\d{4})([-/.])(\d\d?)(?:\2(\d\d?))?")
_YEAR_LAST = re.compile(r"(\d\d?)([-/.])(\d\d?)\2(\d{4})")
_MONTH_AND_YEAR = re.compile(r"(\d\d?)[-/.](\d{4})")
_AMAZON = re.compile(r"(\d\d?) (\d\d?), (\d{4})")


@lru_cache(maxsize=_REMEMBERED)
def _day(text: str, order: Order | None) -> Date | None:
    """A date without a time of day, in lower case."""
    text = text.strip(" ,·")
    if match := _YEAR_FIRST.fullmatch(text):
        return _checked(int(match[1]), int(match[3]), int(match[4] or 0))
    if match := _YEAR_LAST.fullmatch(text):
        first, second, year = int(match[1]), int(match[3]), int(match[4])
        order = "day" if match[2] == "." else _own_order(first, second) or order
        if order is None and first != second:
            return None
        return _checked(year, first, second) if order == "month" else _checked(year, second, first)
    if match := _MONTH_AND_YEAR.fullmatch(text):
        return _checked(int(match[2]), int(match[1]))
    if match := _AMAZON.fullmatch(text):
        return _checked(int(match[3]), int(match[1]), int(match[2]))
    return _with_words(text)


def _own_order(first: int, second: int) -> Order | None:
    """What stands first, where one of the two can be no month."""
    return "day" if first > 12 >= second else "month" if second > 12 >= first else None


def _shown_order(values: Sequence[Any]) -> Order | None:
    """The order that the dates of a profile show, if they show one and only one."""
    shown = set()
    for value in values:
        match = None if value is None else _YEAR_LAST.search(str(value)[:_LONGEST])
        if match and match[2] != ".":
            shown.add(_own_order(int(match[1]), int(match[3])))
    shown.discard(None)
    return shown.pop() if len(shown) == 1 else None


_MONTHS = "january february march april may june july august september october november december".split()
_MONTH = {name[:n]: i for i, name in enumerate(_MONTHS, 1) for n in (3, len(name))} | {"sept": 9}
_BETWEEN = re.compile(r"[\s,./·-]+")
_DAY_OF_MONTH = re.compile(r"(\d\d?)(?:st|nd|rd|th)?")
_NO_DATE = re.compile(rf"{_WEEKDAY}|of|the|on|")


def _with_words(text: str) -> Date | None:
    """A month by its name, a year of four digits and perhaps a day, in any order."""
    years, months, days = [], [], []
    for word in _BETWEEN.split(text):
        if month := _MONTH.get(word):
            months.append(month)
        elif len(word) == 4 and word.isdecimal():
            years.append(int(word))
        elif match := _DAY_OF_MONTH.fullmatch(word):
            days.append(int(match[1]))
        elif not _NO_DATE.fullmatch(word):
            return None
    if len(years) != 1 or len(months) != 1 or len(days) > 1:
        return None
    return _checked(years[0], months[0], *days)
