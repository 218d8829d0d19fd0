"""Compares the shipped session calendars with the package exchange_calendars, day by day.

    python check.py [FOLDER]           # the calendars in FOLDER, engine/calendars unless said; exceptions.toml beside this file

Every day of every year that a calendar covers, from 2015 on and as far as the package goes. A day that differs and is no exception
fails, and so does an exception that is none: each carries a reason and a source. Prints what was compared.
"""

import datetime
import pathlib
import sys
import tomllib

import exchange_calendars

HERE = pathlib.Path(__file__).parent
CALENDARS = HERE.parents[1] / "engine" / "calendars"
# Ours, and the package's of the same days. It has no NSE; BSE (XBOM) keeps the same holidays and hours.
PAIRS = {"XNYS": "XNYS", "XNSE": "XBOM", "24x7": "24/7"}
FIRST = datetime.date(2015, 1, 1)
# Every year before this one must be there; later ones as far as a calendar goes.
LAST_NEEDED = 2027
WEEKDAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAY = datetime.timedelta(days=1)


def ours(calendar, day):
    """Open and close of a day; None without a session; KeyError for a year that is not covered."""
    year = {} if calendar.get("every_year") else calendar["years"][str(day.year)]
    text, usual = day.isoformat(), (calendar["open"], calendar["close"])
    if text in year.get("special_sessions", {}):
        return tuple(year["special_sessions"][text])
    if text in year.get("early_closes", {}):
        return usual[0], year["early_closes"][text]
    trades = WEEKDAYS[day.weekday()] in calendar["weekdays"] and text not in year.get("holidays", [])
    return usual if trades else None


def theirs(package, zone, day):
    """The same, as the package has it."""
    if not package.is_session(day.isoformat()):
        return None
    opens, closes = (at(day.isoformat()).tz_convert(zone) for at in (package.session_open, package.session_close))
    close = "24:00" if closes.date() > day else closes.strftime("%H:%M")
    return opens.strftime("%H:%M"), close


def compare(folder, name, other, exceptions):
    """Days compared, and what is wrong."""
    calendar = tomllib.loads((folder / f"{name}.toml").read_text())
    # The package begins with its first session, which need not be the first day.
    package = exchange_calendars.get_calendar(other, start=FIRST - 30 * DAY)
    last = package.last_session.date()
    wrong, days, used = [], 0, set()
    day = FIRST
    while day <= last:
        if not calendar.get("every_year") and str(day.year) not in calendar["years"]:
            if day.year < LAST_NEEDED:
                wrong.append(f"{name} {day.year}: the year is missing")
            day = datetime.date(day.year + 1, 1, 1)
            continue
        days += 1
        have, want = ours(calendar, day), theirs(package, calendar["zone"], day)
        exception = exceptions.get(day.isoformat())
        if exception:
            used.add(day.isoformat())
            if have == want:
                wrong.append(f"{name} {day}: an exception is listed and the two agree: {have}")
            if not exception.get("reason") or not exception.get("source"):
                wrong.append(f"{name} {day}: an exception needs a reason and a source")
        elif have != want:
            wrong.append(f"{name} {day}: ours is {have}, {other} has {want}")
        day += DAY
    wrong += [f"{name} {left}: an exception outside what is compared" for left in exceptions.keys() - used]
    covered = "every year" if calendar.get("every_year") else ", ".join(calendar["years"])
    print(f"{name} against {other}: {days} days to {min(last, day)}, {len(used)} exceptions; covers {covered}")
    return wrong


def main():
    exceptions = tomllib.loads((HERE / "exceptions.toml").read_text())
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else CALENDARS
    wrong = [line for name, other in PAIRS.items() for line in compare(folder, name, other, exceptions.get(name, {}))]
    print("\n".join(wrong) or "no difference")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
