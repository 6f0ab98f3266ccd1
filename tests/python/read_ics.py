"""Reads an invitation as calendars do: the first line of standard input is a JSON object with the
text (`ics`), a window (`from`, `until`, seconds since 1970), and instants (`at`) for which offsets are
wanted: those that the time zone of the invitation alone gives, and those of the zone of its name.
Answers with one JSON object."""

import json
import sys
from datetime import datetime, timezone
from zoneinfo import ZoneInfo

import recurring_ical_events
from icalendar import Calendar


def instant(seconds):
    return datetime.fromtimestamp(seconds, timezone.utc)


def seconds(time):
    return int(time.timestamp())


def offsets_of(zone, at):
    return [int(instant(it).astimezone(zone).utcoffset().total_seconds()) for it in at]


def party(address):
    return {"name": str(address.params.get("CN", "")), "address": str(address)}


def read(request):
    calendar = Calendar.from_ical(request["ics"])
    components = [it.name for it in calendar.walk()]
    [event] = calendar.walk("VEVENT")
    errors = [str(it) for part in calendar.walk() for it in part.errors]
    zones = calendar.walk("VTIMEZONE")
    offsets, known = [], []
    if zones:
        offsets = offsets_of(zones[0].to_tz(lookup_tzid=False), request["at"])
        known = offsets_of(ZoneInfo(zones[0].tz_name), request["at"])
    attendees = event.get("ATTENDEE", [])
    attendees = attendees if isinstance(attendees, list) else [attendees]
    found = recurring_ical_events.of(calendar).between(
        instant(request["from"]), instant(request["until"])
    )
    occurrences = sorted((seconds(it["DTSTART"].dt), seconds(it["DTEND"].dt)) for it in found)
    return {
        "components": components,
        "errors": errors,
        "properties": sorted(event.keys()),
        "method": str(calendar["METHOD"]),
        "uid": str(event["UID"]),
        "sequence": int(event["SEQUENCE"]),
        "status": str(event["STATUS"]),
        "summary": str(event["SUMMARY"]),
        "description": str(event["DESCRIPTION"]),
        "location": str(event["LOCATION"]),
        "url": str(event["URL"]),
        "organizer": party(event["ORGANIZER"]),
        "attendees": [party(it) for it in attendees],
        "offsets": offsets,
        "known": known,
        "occurrences": occurrences,
    }


print(json.dumps(read(json.loads(sys.stdin.readline()))))
