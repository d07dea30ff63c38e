"""Ages and times as kubectl prints them: `5m` of v1.7, `2m30s` of today. Pure; the moment it is now is passed in."""

from __future__ import annotations

import calendar
import re
import time

UNKNOWN = "<unknown>"


def seconds_of(text: object) -> float | None:
    """Seconds since 1970 of `2017-08-03T06:43:48Z` (fractions allowed), None where it is none."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)", text, re.ASCII) if isinstance(text, str) else None
    if not found:
        return None
    try:
        whole = calendar.timegm(time.strptime(found[1], "%Y-%m-%dT%H:%M:%S"))
    except (ValueError, OverflowError):
        return None
    offset = 0 if found[3] == "Z" else (int(found[3][1:3]) * 60 + int(found[3][4:])) * (60 if found[3][0] == "+" else -60)
    return whole + float(found[2] or 0) - offset


def timestamp(seconds: float) -> str:
    """Seconds since 1970 as Kubernetes writes them: `2017-08-03T06:43:48Z`."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def short(seconds: float) -> str:
    """An age of v1.7: one unit, rounded down. Hours until the second day, days until the second year."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 0:
        return "0s"
    minutes, hours = whole // 60, whole // 3600
    if whole < 60:
        return f"{whole}s"
    if minutes < 60:
        return f"{minutes}m"
    if hours < 24:
        return f"{hours}h"
    return f"{hours // 24}d" if hours < 24 * 365 else f"{hours // 24 // 365}y"


def human(seconds: float) -> str:
    """An age of today: two units where the first alone would be coarse, such as `2m30s`, `3h5m`, `2d4h`."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 0:
        return "0s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if whole < 120:
        return f"{whole}s"
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if hours < 192:
        return _two(days, "d", hours % 24, "h")
    if days < 365 * 2:
        return f"{days}d"
    return _two(days // 365, "y", days % 365, "d") if days < 365 * 8 else f"{days // 365}y"


def _two(first: int, unit: str, second: int, smaller: str) -> str:
    return f"{first}{unit}{second}{smaller}" if second else f"{first}{unit}"


def age(since: object, now: float, old: bool) -> str:
    """The age of a timestamp, in v1.7's form (old) or today's; `<unknown>` where there is none."""
    begin = seconds_of(since)
    if begin is None:
        return UNKNOWN
    return short(now - begin) if old else human(now - begin)
