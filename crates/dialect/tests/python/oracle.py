"""Answers what Python makes of patterns and format strings, one JSON value a line in, one out.

{"pattern": p, "text": t}             -> null (an error), false (no match) or the list of [start, end] in bytes, or null,
                                         of each group
{"template": t, "values": {name: v}}  -> null (an error) or the text; values as `value` below reads them
{"assigned": text}                    -> the text without what this Python's Unicode does not know
"""

import datetime
import json
import re
import sys
import unicodedata
import uuid


def search(pattern, text):
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError, ValueError):
        return None
    match = compiled.search(text)
    if match is None:
        return False
    place = lambda i: len(text[:i].encode())
    spans = [match.span(group) for group in range(compiled.groups + 1)]
    return [None if start < 0 else [place(start), place(end)] for start, end in spans]


def value(typed):
    kind, content = typed
    match kind:
        case "plain":
            return content
        case "float":
            return float(content)
        case "bytes":
            return bytes(content)
        case "time":
            return datetime.datetime.fromisoformat(content)
        case "span":
            return datetime.timedelta(microseconds=content)
        case "uuid":
            return uuid.UUID(content)
        case "list":
            return [value(item) for item in content]


class Entry(dict):
    def __missing__(self, name):
        return None


def render(template, values):
    values = Entry({name: value(typed) for name, typed in values.items()})
    try:
        return template.format_map(values)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError):
        return None


for line in sys.stdin:
    asked = json.loads(line)
    if "pattern" in asked:
        answer = search(asked["pattern"], asked["text"])
    elif "assigned" in asked:
        answer = "".join(c for c in asked["assigned"] if unicodedata.category(c) != "Cn")
    else:
        answer = render(asked["template"], asked["values"])
    print(json.dumps(answer))
