#!/usr/bin/env python3
"""Checks what `bus dump --json` says of files against docs/format.md: it shares no code with the library.

  dump_checker.py PAGE TOOL FILE...   dumps each file with TOOL and checks the dump; the tables are read from PAGE
  dump_checker.py PAGE --tables       the byte tables of the page, as JSON

Every byte of a file must stand in one field, once, as it stands in the file; each field must be one that the page knows, at its
offset, with its size, and mean what the page says; words, checks and checksums are computed anew; damage must end where the page
says that reading goes on. Exit code 0: all fits. 1: something does not, and is said.
"""

import datetime
import json
import os
import re
import struct
import subprocess
import sys

import format_reader as reader

HEADERS = {b"libbusID": "BusFile", b"libbusCT": "ControlHeader", b"libbusLK": "LocksFile", b"libbusSP": "SleepFile",
           b"libbusSG": "SegmentHeader", b"libbusIX": "IndexHeader", b"libbusCU": "CursorHeader",
           b"libbusCL": "CursorLockFile", b"libbusSF": "SyncFailedFile"}
TIMES = {"created", "since", "time", "timestamp", "before", "idle"}
DURATIONS = {"claim_timeout", "retain_age"}
# What the page says in words behind a number.
NAMES = {"access": {0: "owner", 1: "group", 2: "world"}, "mode": {0: "shared", 1: "exclusive"},
         "timestamps": {0: "coarse", 1: "precise", 2: "none"}, "checksums": {0: "on", 1: "off"},
         "state": reader.STATES, "epoch_cause": reader.END_CAUSES}
STATE_NAMES = {reader.FREE: "free", reader.RESERVED: "reserved", reader.DATA: "data", reader.GAP: "gap", reader.END: "end",
               reader.INNER: "inner"}


class Wrong(Exception):
    """The dump and the page say different things."""


def expect(condition, what):
    if not condition:
        raise Wrong(what)


# --- the page --------------------------------------------------------------------------------------------------------

def tables_of(page):
    """The byte tables: name of a struct -> [(offset, size, field)]; "-" is a field without a name."""
    tables, name = {}, None
    with open(page, encoding="utf-8") as file:
        for line in file:
            heading = re.match(r"### `(\w+)` \((\d+) bytes\)", line)
            if heading:
                name = heading.group(1)
                tables[name] = []
            row = re.match(r"\| (\d+) \| (\d+) \| (\S+) \|", line)
            if row and name:
                tables[name].append((int(row.group(1)), int(row.group(2)), row.group(3)))
            if line.startswith("## "):
                name = None
    return tables


def expanded(tables, name, at=0):
    """The fields of a struct as a dump shows them: [(offset, size, name)]."""
    fields = []
    for offset, size, field in tables[name]:
        if field == "header":
            fields += expanded(tables, "FileHeader", at + offset)
        else:
            fields.append((at + offset, size, "not_used" if field == "-" else re.sub(r"\d+$", "", field)))
    return fields


# --- fields ----------------------------------------------------------------------------------------------------------

def own_name(field):
    return field["name"].replace(" ", "_")


def content(field):
    return bytes.fromhex(field["hex"]) + bytes(field.get("zeros", 0))


def number(field, signed=False):
    return int.from_bytes(content(field), "little", signed=signed)


def time_text(nanos):
    seconds, rest = divmod(nanos, 10 ** 9)
    if not -62135596800 <= seconds < 253402300800:
        return None  # a year that Python does not know
    moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest:09d}Z" if moment.year >= 1000 else None


def duration(text):
    units = {"h": 3600 * 10 ** 9, "m": 60 * 10 ** 9, "s": 10 ** 9, "ms": 10 ** 6, "us": 10 ** 3, "ns": 1}
    sign = -1 if text.startswith("-") else 1
    parts = re.findall(r"([\d.]+)(h|ms|us|ns|m|s)", text)
    return sign * round(sum(float(amount) * units[unit] for amount, unit in parts))


def check_time(field):
    nanos, meaning = number(field, signed=True), field["meaning"]
    if nanos == 0:
        expect(meaning == "0: none", f"time 0 means {meaning!r}")
    elif nanos == -1 << 63 and own_name(field) == "before":
        expect(meaning == "no record before it", f"lowest time means {meaning!r}")
    elif time_text(nanos):
        expect(meaning == time_text(nanos), f"{nanos} ns mean {meaning!r}")


def check_number(field):
    value, meaning = number(field), field["meaning"]
    if own_name(field) == "sequence" and value == (1 << 64) - 1 and meaning == "not known":
        return
    if own_name(field) == "sequence":
        value &= ~(1 << 63)
    if own_name(field) in ("incompatible", "compatible"):
        expect(meaning == f"features {value:#x}", f"{value} means {meaning!r}")
        return
    if own_name(field) == "error" and value:
        expect(meaning.startswith(f"errno {value}: "), f"{value} means {meaning!r}")
        return
    first = re.match(r"\d+", meaning)
    expect(first and int(first.group(0)) == value, f"{field['name']} {value} means {meaning!r}")


def check_meaning(field):
    """What a field of a table means, by its name on the page."""
    name, meaning = own_name(field), field["meaning"]
    if not field["right"]:
        return
    if name in ("reserved", "not_used", "padding", "zeros"):
        zero = not any(content(field))
        expect(meaning == ("zeros" if zero else "not zero: written by a newer version, or damage"), f"zeros: {meaning!r}")
    elif name == "uuid":
        expect(meaning.replace("-", "") == content(field).hex(), f"uuid means {meaning!r}")
    elif name in ("magic", "name") and meaning:
        text = content(field).rstrip(b"\0") if name == "name" else content(field)
        if text.isascii() and text.decode().isprintable() and not re.search(rb'["\\]', text):
            expect(meaning == f'"{text.decode()}"', f"{name} means {meaning!r}")
    elif name == "no_consumer":
        expect(meaning == "", f"an entry that nobody is in means {meaning!r}")
    elif name == "consumer":
        expect(meaning == f"process {number(field)}", f"a consumer means {meaning!r}")
    elif name == "waits_for":
        expect(meaning == {0: "nothing", 1: "a record", 2: "a sync"}.get(number(field), "unknown"), meaning)
    elif name == "cursor":
        value = number(field)
        expect(meaning == (f"a name of {value >> 32} bytes" if value else "none"), f"a cursor means {meaning!r}")
    elif name in ("boot_id", "name"):
        expect(meaning == "", f"{name} means {meaning!r}")
    elif name in TIMES:
        check_time(field)
    elif name in DURATIONS:
        expect(duration(meaning) == number(field, signed=True), f"{number(field)} ns mean {meaning!r}")
    elif name in NAMES:
        known = NAMES[name].get(number(field))
        expect(known is None or meaning == known, f"{name} {number(field)} means {meaning!r}")
    elif name != "checksum":
        check_number(field)


def check_struct(item, fields, expected):
    """`fields` of the item are these, (offset in the file, size, name) each."""
    for field, (offset, size, name) in zip(fields, expected):
        where = f"offset {offset}, {name}"
        expect(own_name(field) == name, f"{where}: the dump says {field['name']!r}")
        expect(field["offset"] == offset, f"{where}: the dump says offset {field['offset']}")
        cut = field["offset"] + field["size"] == item["offset"] + item["size"] and not field["right"]
        expect(field["size"] == size or cut, f"{where}: {field['size']} bytes instead of {size}")
        check_meaning(field)


def check_checksum(field, computed):
    stored = number(field)
    expect(field["role"] == "checksum", f"a checksum has the role {field['role']}")
    if computed is None:
        expect("computed" not in field and not field["right"], "a checksum that cannot be computed is called right")
        return
    expect(field.get("computed") == computed, f"computed {field.get('computed')}, and it is {computed}")
    expect(field["right"] == (stored == computed) or not field["right"], f"checksum {stored:08x} is called right")
    expect(field["meaning"].startswith(f"stored {stored:08x}, computed {computed:08x}"), field["meaning"])


def the_field(item, name):
    found = [field for field in item["fields"] if own_name(field) == name]
    expect(found, f"no field {name} in {item['kind']} at {item['offset']}")
    return found[0]


# --- files -----------------------------------------------------------------------------------------------------------

def consumers(item, data, tables, at):
    """The entries of the sleep page as a dump shows them: one field each, where nobody is in it."""
    for entry in range(at, 4096, 64):
        if not any(data[entry:entry + 8]):
            yield entry, 64, "no_consumer"
            continue
        for offset, size, name in expanded(tables, "ConsumerEntry"):
            yield entry + offset, size, "consumer" if name == "pid" else name


def check_header(item, data, tables):
    name = HEADERS[bytes(data[:8])]
    expected = expanded(tables, name)
    if name == "SleepFile":
        at = next(offset for offset, _, field in expected if field == "consumers")
        expected = [field for field in expected if field[0] < at] + list(consumers(item, data, tables, at))
    expect(len(item["fields"]) == len(expected) or len(data) < 4096, f"{name}: {len(item['fields'])} fields")
    check_struct(item, item["fields"], expected)
    at = next((offset for offset, _, field in expected if field == "checksum"))
    if len(data) >= at + 4:
        check_checksum(the_field(item, "checksum"), reader.crc32c(0xFFFFFFFF, data[:at]))


def check_control_record(item, data, tables):
    copy = data[item["offset"]:item["offset"] + item["size"]]
    if not any(copy):
        return
    expected = [(item["offset"] + offset, size, name) for offset, size, name in expanded(tables, "ControlRecord")
                if offset < 184]
    check_struct(item, item["fields"], expected)
    (entries,) = struct.unpack_from("<I", copy, 176)
    register = reader.crc32c(0xFFFFFFFF, copy[:180])
    fits = entries <= 674
    check_checksum(the_field(item, "checksum"), reader.crc32c(register, copy[184:184 + 24 * entries]) if fits else None)
    at = item["offset"] + 184
    for i in range(min(entries, 674)):
        fields = item["fields"][len(expected) + 5 * i:len(expected) + 5 * i + 5]
        check_struct(item, fields, [(at + 24 * i + offset, size, "reserved" if name == "reserved" else "epoch_" + name)
                                    for offset, size, name in expanded(tables, "EpochEntry")])


def check_at(item, tables, name, checksum=None):
    check_struct(item, item["fields"], [(item["offset"] + offset, size, field)
                                        for offset, size, field in expanded(tables, name)])
    if checksum is not None and item["size"] == sum(size for _, size, _ in tables[name]):
        check_checksum(the_field(item, "checksum"), checksum)


def check_cursor_record(item, data, tables):
    copy = data[item["offset"]:item["offset"] + 40]
    if any(copy):
        check_at(item, tables, "CursorRecord", reader.crc32c(reader.crc32c(0xFFFFFFFF, data[16:32]), copy[:36]))


def check_index_entry(item, data, tables):
    ordinal = (item["offset"] - 64) // 32
    entry = data[item["offset"]:item["offset"] + 28]
    check_at(item, tables, "IndexEntry",
             reader.crc32c(reader.topic_seed(bytes(data[16:32])), struct.pack("<Q", ordinal) + entry))


CHECKS = {"control record": check_control_record, "cursor record": check_cursor_record,
          "index entry": check_index_entry, "header": check_header,
          "live": lambda item, data, tables: check_at(item, tables, "LiveWords"),
          "slot": lambda item, data, tables: check_at(item, tables, "Slot")}


# --- segments --------------------------------------------------------------------------------------------------------

class Records:
    """Checks the items of a segment, in order, against its bytes."""

    def __init__(self, segment, items, tables):
        self.segment, self.items, self.tables = segment, items, tables
        self.seed = segment.seed

    def check_word(self, item, position):
        word = self.segment.word_at(position)
        state, flags, owner, check, length = reader.split_word(word)
        field, told = item["fields"][0], item["word"]
        expect(own_name(field) == "word" and field["role"] == "word", "an item with a word does not begin with it")
        expect(item["position"] == position, f"position {position}: the dump says {item['position']}")
        computed = reader.word_check(self.seed, position, word)
        name = STATE_NAMES.get(state, "unknown")
        expect((told["state"], told["owner"], told["length"]) == (name, owner, length), f"word at {position}: {told}")
        expect((told["check_stored"], told["check_computed"]) == (check, computed), f"check at {position}: {told}")
        expect(f"owner {owner}, check {check:02x}, computed {computed:02x}, length {length}" in field["meaning"],
               f"word at {position}: {field['meaning']}")
        if state == reader.GAP:
            expect(told["flags"] == reader.GAP_CAUSES.get(flags, "unknown cause"), f"gap at {position}: {told['flags']}")
        if state == reader.END:
            expect(told["flags"] == reader.END_CAUSES.get(flags, "unknown cause"), f"end at {position}: {told['flags']}")

    def check_record(self, item, position):
        """A record, in a batch or not: its header, attributes, payload and checksum."""
        length = self.segment.word_at(position) >> 32
        for field, (offset, size, name) in zip(item["fields"], expanded(self.tables, "RecordHeader")):
            expect((own_name(field), field["offset"], field["size"]) == (name, item["offset"] + offset, size),
                   f"{position}: {field['name']} instead of {name}")
            if name in ("type", "timestamp"):
                check_meaning(field)
        extent = self.extent(position)
        checksum = the_field(item, "checksum")
        if extent is None:
            check_checksum(checksum, None)
            return
        attributes, payload = extent
        body = self.segment.bytes_at(position + 24, length)
        head = self.segment.bytes_at(position, 24)
        word = self.segment.word_at(position) & ~0xFF | reader.DATA
        register = reader.crc32c(self.seed, struct.pack("<QQ", position, word) + head[12:24])
        check_checksum(checksum, reader.crc32c(register, body[:attributes + payload]))
        found = the_field(item, "payload")
        expect(found["offset"] == item["offset"] + 24 + attributes, f"{position}: the payload begins elsewhere")
        expect(found["meaning"].startswith(f"{payload} byte" + "s" * (payload != 1)), f"{position}: payload {found['meaning']!r}")
        expect(found["size"] == min(payload, 65536) or found["size"] == payload, f"{position}: payload is cut")
        if attributes and checksum["right"]:
            self.check_attributes(item, body[:attributes])

    def extent(self, position):
        """(bytes of attributes, bytes of payload); None if the attributes do not fit."""
        _, flags, _, _, length = reader.split_word(self.segment.word_at(position))
        if not flags & reader.HAS_ATTRIBUTES:
            return 0, length
        body = self.segment.bytes_at(position + 24, length)
        if length < 8:
            return None
        size, bits = struct.unpack_from("<II", body)
        if size < 8 or size % 8 or size > length or (bits & 1 and size < 16):
            return None
        payload = struct.unpack_from("<Q", body, 8)[0] if bits & 1 else length - size
        return (size, payload) if payload <= length - size else None

    def check_attributes(self, item, data):
        try:
            found = reader.attributes_of(data)
        except reader.Damage:
            expect("as if there were none" in the_field(item, "attributes")["meaning"], "attributes are not whole")
            return
        for name in ("payload_length", "source", "producer_sequence"):
            if name in found:
                expect(number(the_field(item, name)) == found[name] == int(the_field(item, name)["meaning"]), name)
        for name in ("producer", "key"):
            if name in found:
                expect(content(the_field(item, name)).hex() == found[name], name)
        names = [content(field).hex() for field in item["fields"] if own_name(field) == "header_name"]
        values = [content(field).hex() for field in item["fields"] if own_name(field) == "header_value"]
        expect([list(pair) for pair in zip(names, values)] == found.get("headers", []), "headers")

    def resume(self, item, expected):
        if expected < self.segment.end():
            expect(item.get("resumes_at") == expected, f"{item['position']}: goes on at {expected}, not at "
                                                       f"{item.get('resumes_at')}")

    def take(self, kinds, position):
        expect(self.items, f"{position}: the dump ends")
        item = self.items.pop(0)
        expect(item["kind"] in kinds, f"{position}: {item['kind']} instead of {' or '.join(kinds)}")
        expect(item["position"] == position, f"{item['kind']} at {item['position']} instead of {position}")
        return item

    def check_batch(self, position, following):
        item = self.take(["data"], position)
        self.check_word(item, position)
        word = self.segment.word_at(position)
        try:
            places = reader.table_of(self.segment, position, word)
        except reader.Damage:
            expect(item["damaged"], f"{position}: the batch is not called damaged")
            self.resume(item, following)
            return
        expect(not item["damaged"], f"{position}: the batch is called damaged")
        told = [(number(at), number(checksum)) for at, checksum in
                zip([f for f in item["fields"] if own_name(f) == "record_at"],
                    [f for f in item["fields"] if own_name(f) == "its_checksum"])]
        expect(told == [(offset, checksum) for offset, _, checksum in places] or not told, f"{position}: the table")
        for offset, end, checksum in places:
            self.check_inner(position + offset, end - offset, checksum)

    def check_inner(self, position, room, checksum):
        item = self.take(["inner"], position)
        self.check_word(item, position)
        try:
            reader.inner_at(self.segment, position, room, checksum)
        except reader.Damage:
            expect(item["damaged"], f"{position}: the record is not called damaged")
            return
        expect(not item["damaged"], f"{position}: the record is called damaged")
        self.check_record(item, position)

    def check_damage(self, position):
        item = self.take(["damage"], position)
        expect(item["damaged"], f"{position}: damage is not called damage")
        following = reader.resynchronise(self.segment, position + 8)
        expect(item["size"] == following - position, f"{position}: damage of {item['size']} bytes")
        self.resume(item, following)
        return following

    def check_data(self, position, following):
        flags = self.segment.word_at(position) >> 8 & 0x3F
        if flags == reader.BATCH:
            return self.check_batch(position, following)
        item = self.take(["data"], position)
        self.check_word(item, position)
        if flags & ~reader.HAS_ATTRIBUTES:
            expect("newer version" in item["summary"], f"{position}: flags {flags}")
            return None
        self.check_record(item, position)
        try:
            reader.verified(self.segment, position, self.segment.word_at(position))
            expect(not item["damaged"], f"{position}: the record is called damaged")
        except reader.Damage:
            expect(item["damaged"], f"{position}: the record is not called damaged")
            self.resume(item, following)
        return None

    def check_all(self):
        position = self.segment.first()
        while position + 8 <= self.segment.end():
            try:
                state = reader.judge(self.segment, position)
            except reader.Damage:
                position = self.check_damage(position)
                continue
            following = position + (24 + (self.segment.word_at(position) >> 32) + 7 & ~7)
            if state == reader.FREE and any(self.segment.bytes_at(position, self.segment.end() - position)):
                position = self.check_damage(position)
            elif state == reader.FREE:
                item = self.take(["free"], position)
                expect(item["size"] == self.segment.end() - position, f"{position}: {item['size']} bytes are free")
                return
            elif state == reader.DATA:
                self.check_data(position, following)
                position = following
            else:
                item = self.take([STATE_NAMES[state]], position)
                self.check_word(item, position)
                if state == reader.END:
                    return
                expect(item["size"] == following - position, f"{position}: {item['size']} bytes")
                position = following


def check_segment(path, data, items, tables):
    try:
        segment = reader.Segment(data, path)
    except (reader.Damage, NotImplementedError):
        return  # its bytes are shown, and were compared: what they mean nobody knows for certain
    Records(segment, [item for item in items if item["kind"] not in ("file", "header", "bytes")], tables).check_all()


# --- a dump ----------------------------------------------------------------------------------------------------------

def check_bytes(items, data):
    """Every byte stands in one field, once, as it stands in the file."""
    fields = sorted((field for item in items for field in item["fields"] if field["size"]), key=lambda f: f["offset"])
    at = 0
    for field in fields:
        expect(field["offset"] == at, f"offset {at}: the next field, {field['name']}, is at {field['offset']}")
        found = content(field)
        expect(len(found) == field["size"], f"offset {at}: {field['name']} has {len(found)} bytes, not {field['size']}")
        expect(found == data[at:at + len(found)], f"offset {at}: {field['name']} shows other bytes")
        at += len(found)
    expect(at == len(data), f"the dump ends at {at} of {len(data)} bytes")
    return len(fields)


def check_dump(path, lines, code, tables):
    with open(path, "rb") as file:
        data = file.read()
    items = [json.loads(line) for line in lines]
    expect(items and items[0]["kind"] == "file" and items[0]["size"] == len(data), "the dump begins with no file")
    count = check_bytes(items, data)
    expect(code == (4 if any(item["damaged"] for item in items) else 0), f"exit code {code}")
    for item in items:
        if item["kind"] in CHECKS and bytes(data[:8]) in HEADERS:
            CHECKS[item["kind"]](item, data, tables)
    if bytes(data[:8]) == b"libbusSG":
        check_segment(path, data, items, tables)
    return count


def dump(tool, path):
    result = subprocess.run([tool, "dump", "--json", path], stdout=subprocess.PIPE, check=False)
    return result.stdout.decode().splitlines(), result.returncode


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    page, tool, paths = sys.argv[1], sys.argv[2], sys.argv[3:]
    tables = tables_of(page)
    if tool == "--tables":
        print(json.dumps(tables))
        return 0
    wrong = 0
    for path in paths:
        lines, code = dump(tool, path)
        name = os.path.join(*path.split("/")[-2:])
        try:
            print(f"{name}: {check_dump(path, lines, code, tables)} fields")
        except Wrong as error:
            wrong += 1
            print(f"{name}: WRONG: {error}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
