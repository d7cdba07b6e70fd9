#!/usr/bin/env python3
"""Reads a topic of libbus, written from docs/format.md alone: it shares no code with the library.

  format_reader.py topic DIR     every record and gap of BUS/TOPIC, one JSON object a line
  format_reader.py segment FILE  the same for one segment file on its own
  format_reader.py control DIR   what BUS/TOPIC/control says
  format_reader.py index DIR     what BUS/TOPIC/index says, and whether it may be used
  format_reader.py sleep DIR     what BUS/TOPIC/sleep says: counts, and a line for each entry that is in use
  format_reader.py bus FILE      what BUS/bus says
  format_reader.py example PAGE  the same as `segment` for the hex example of docs/format.md
  format_reader.py hex FILE      a file in the form in which that example is printed

Exit code 0: read to the end. 4: damage, which was also printed as an object. 5: made by a newer version.
"""

import json
import os
import re
import struct
import sys

FORMAT_VERSION = 1
KNOWN_INCOMPATIBLE = 0

FREE, RESERVED, DATA, GAP, END, INNER = 0x00, 0x0F, 0x33, 0x3C, 0x55, 0x5A
HAS_ATTRIBUTES = 1
BATCH = 2
GAP_CAUSES = {1: "dead", 2: "revoked", 3: "aborted", 4: "torn"}
END_CAUSES = {0: "rolled", 1: "power loss", 2: "copied", 3: "other mount", 4: "damage", 5: "sync failed"}
STATES = {0: "none", 1: "recovering", 2: "open", 3: "clean"}


class Damage(Exception):
    """Bytes that are not what the page says."""


# --- checksums -------------------------------------------------------------------------------------------------------

def make_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


TABLE = make_table()


def crc32c(register, data):
    """Raw: no inversion before or after."""
    for byte in data:
        register = register >> 8 ^ TABLE[(register ^ byte) & 0xFF]
    return register


def topic_seed(uuid):
    return crc32c(0xFFFFFFFF, uuid)


def word_check(seed, position, word):
    c = crc32c(seed, struct.pack("<QQ", position, word & ~0xFF0000FF))
    return (c ^ c >> 7 ^ c >> 22) & 0xFF


# --- files -----------------------------------------------------------------------------------------------------------

def flipped_bit(header):
    """The number of the bit whose flip makes the checksum right that ends `header`; None: it is right, or no one does."""
    covered = len(header) - 4
    difference = int.from_bytes(header[covered:], "little") ^ crc32c(0xFFFFFFFF, header[:covered])
    if difference == 0:
        return None
    effects = {1 << bit: bit for bit in range(32)}
    if difference in effects:
        return covered * 8 + effects[difference]
    effects = [crc32c(0, bytes([1 << bit])) for bit in range(8)]
    for byte in reversed(range(covered)):
        if difference in effects:
            return byte * 8 + effects.index(difference)
        effects = [crc32c(effect, b"\0") for effect in effects]
    return None


def mended(data, magic, checksum_at):
    """`data`, with the one flipped bit of its header put right, if that makes it one that begins with `magic`."""
    header = bytearray(data[:checksum_at + 4])
    flipped = flipped_bit(header) if len(header) == checksum_at + 4 else None
    if flipped is None:
        return data
    header[flipped // 8] ^= 1 << flipped % 8
    return bytes(header) + data[checksum_at + 4:] if header[:8] == magic else data


def file_header(data, magic, checksum_at, name):
    """Checks what every file begins with; gives (cause, uuid). `data` was mended before."""
    if len(data) < checksum_at + 4:
        raise Damage(f"{name}: {len(data)} bytes are too few")
    found, version, incompatible, _compatible, cause, _zero = struct.unpack_from("<8sHHHBB", data)
    if found != magic:
        raise Damage(f"{name}: begins with {found!r}, not with {magic!r}")
    if version > FORMAT_VERSION or incompatible & ~KNOWN_INCOMPATIBLE:
        raise NotImplementedError(f"{name}: version {version}, features {incompatible:#06x}")
    (stored,) = struct.unpack_from("<I", data, checksum_at)
    if stored != crc32c(0xFFFFFFFF, data[:checksum_at]):
        raise Damage(f"{name}: wrong checksum in the header")
    return cause, bytes(data[16:32])


def read_bus(path):
    with open(path, "rb") as file:
        data = mended(file.read(), b"libbusID", 252)
    _, uuid = file_header(data, b"libbusID", 252, path)
    created, access = struct.unpack_from("<qB", data, 32)
    return {"uuid": uuid.hex(), "created": created, "access": access, "size": len(data)}


def control_record(data):
    """One of the two copies; None if it does not hold."""
    counter, state, epoch, tail, durable, boot_id, device, mount, first_position, first_sequence = struct.unpack_from(
        "<QIIQQ16sQQQQ", data)
    entries, checksum = struct.unpack_from("<II", data, 176)
    if counter == 0 or entries > 674:
        return None
    if checksum != crc32c(crc32c(0xFFFFFFFF, data[:180]), data[184:184 + 24 * entries]):
        return None
    epochs = []
    for i in range(entries):
        number, cause, begin, end = struct.unpack_from("<IB3xQQ", data, 184 + 24 * i)
        epochs.append({"number": number, "cause": END_CAUSES.get(cause, cause), "from": begin, "to": end})
    return {"counter": counter, "state": STATES.get(state, state), "epoch": epoch, "tail": tail, "durable": durable,
            "boot_id": boot_id.hex(), "device": device, "mount": mount, "first_position": first_position,
            "first_sequence": first_sequence, "epochs": epochs}


def read_control(directory):
    path = os.path.join(directory, "control")
    with open(path, "rb") as file:
        data = mended(file.read(), b"libbusCT", 4092)
    _, uuid = file_header(data, b"libbusCT", 4092, path)
    names = ("created", "segment_size", "claim_timeout", "locks_device", "locks_inode", "control_inode", "mode",
             "timestamps", "checksums", "sync_policy", "access")
    result = dict(zip(names, struct.unpack_from("<qQqQQQBBBBB", data, 32)), uuid=uuid.hex(), size=len(data))
    result["retain_bytes"], result["retain_age"] = struct.unpack_from("<Qq", data, 96)
    result["durable"], = struct.unpack_from("<Q", data, 49152 + 64)
    copies = [control_record(data[at:at + 16384]) for at in (16384, 32768)]
    valid = [copy for copy in copies if copy]
    counts = ("wakes", "woken", "gaps", "repairs", "measured_syncs", "measured_bytes")
    result.update(zip(counts, struct.unpack_from("<6Q", data, 49152 + 448)))
    result["record"] = max(valid, key=lambda copy: copy["counter"]) if valid else None
    return result


def read_sleep(directory):
    path = os.path.join(directory, "sleep")
    with open(path, "rb") as file:
        data = mended(file.read(), b"libbusSP", 60)
    file_header(data, b"libbusSP", 60, path)
    mark, = struct.unpack_from("<Q", data, 64)
    sleeps, unlisted = struct.unpack_from("<QQ", data, 192)
    yield {"kind": "page", "mark": mark, "sleeps": sleeps, "unlisted": unlisted}
    for n in range(60):
        pid, since, position, idle, waits_for, cursor, name = struct.unpack_from("<QQQQQQ16s", data, 256 + 64 * n)
        if pid != 0:
            yield {"kind": "consumer", "entry": n, "pid": pid, "position": position, "idle": idle != 0,
                   "waits_for": waits_for, "cursor_length": cursor >> 32, "cursor_crc": cursor & 0xFFFFFFFF,
                   "name": name.rstrip(b"\0").decode(errors="replace")}


class Segment:
    """The bytes of one segment and what its header says."""

    def __init__(self, data, name, uuid=None):
        data = mended(data, b"libbusSG", 60)
        self.cause, self.uuid = file_header(data, b"libbusSG", 60, name)
        self.base, self.size, self.inode, self.epoch = struct.unpack_from("<QQQI", data, 32)
        if uuid is not None and self.uuid != uuid:
            raise Damage(f"{name}: belongs to another topic")
        if len(data) < self.size:
            raise Damage(f"{name}: truncated")
        self.data = data
        self.name = name
        self.seed = topic_seed(self.uuid)

    def first(self):
        return self.base + 64

    def end(self):
        return self.base + self.size

    def in_use(self):
        return self.word_at(self.first()) != 0 or self.cause != 0

    def bytes_at(self, position, size):
        at = position - self.base
        return self.data[at:at + size]

    def word_at(self, position):
        return int.from_bytes(self.bytes_at(position, 8), "little")


def read_segment(path, uuid=None):
    with open(path, "rb") as file:
        segment = Segment(file.read(), path, uuid)
    name = os.path.basename(path)
    if re.fullmatch(r"\d{20}\.seg", name) and int(name[:20]) != segment.base:
        raise Damage(f"{path}: its header says base {segment.base}")
    return segment


# --- records ---------------------------------------------------------------------------------------------------------

def split_word(word):
    return word & 0xFF, word >> 8 & 0x3F, word >> 14 & 0x3FF, word >> 24 & 0xFF, word >> 32


def judge(segment, position):
    """The state of the word at `position`; Damage if it is none of the six or does not hold."""
    word = segment.word_at(position)
    if word == 0:
        return FREE
    state, _, owner, check, length = split_word(word)
    if check != word_check(segment.seed, position, word):
        raise Damage("wrong check")
    room = segment.end() - position
    if state in (RESERVED, DATA, GAP):
        if (24 + length + 7 & ~7) + 8 > room:
            raise Damage("longer than its segment")
        if state == RESERVED and owner == 0:
            raise Damage("claimed by nobody")
        return state
    if state == END and length == 0:
        return END
    raise Damage(f"state {state:#04x} does not belong here")


class Fields:
    """Takes fields off the front of attributes."""

    def __init__(self, data):
        self.data, self.at = data, 8

    def take(self, size):
        if self.at + size > len(self.data):
            raise Damage("an attribute is longer than the attributes")
        self.at += size
        return self.data[self.at - size:self.at]

    def number(self, size):
        return int.from_bytes(self.take(size), "little")

    def pad(self):
        self.take(-self.at % 8)


def attributes_of(data):
    (bits,) = struct.unpack_from("<I", data, 4)
    fields, result = Fields(data), {}
    if bits & 1:
        result["payload_length"] = fields.number(8)
    if bits & 2:
        result["source"] = fields.number(8)
    if bits & 4:
        result["producer_sequence"] = fields.number(8)
        result["producer"] = fields.take(fields.number(4)).hex()
        fields.pad()
    if bits & 8:
        result["key"] = fields.take(fields.number(4)).hex()
        fields.pad()
    if bits & 16:
        size, count = fields.number(4), fields.number(4)
        inner, headers = Fields(b"\0" * 8 + fields.take(size)), []
        for _ in range(count):
            name, value = inner.number(4), inner.number(4)
            headers.append([inner.take(name).hex(), inner.take(value).hex()])
        result["headers"] = headers
    return result


def verified(segment, position, word):
    """The record at `position`, whose word was looked at; Damage if its bytes are not valid."""
    _, flags, owner, _, length = split_word(word)
    header = segment.bytes_at(position, 24)
    body = segment.bytes_at(position + 24, length)
    checksum, kind, timestamp = struct.unpack_from("<IIq", header, 8)
    attributes_size, payload_size = 0, length
    if flags & HAS_ATTRIBUTES:
        if length < 8:
            raise Damage("no room for attributes")
        attributes_size, bits = struct.unpack_from("<II", body)
        if attributes_size < 8 or attributes_size % 8 or attributes_size > length:
            raise Damage("attributes longer than the record")
        payload_size = length - attributes_size
        if bits & 1:
            if attributes_size < 16:
                raise Damage("attributes too short for the payload's length")
            (payload_size,) = struct.unpack_from("<Q", body, 8)
            if payload_size > length - attributes_size:
                raise Damage("payload longer than the record")
    register = crc32c(segment.seed, struct.pack("<QQIq", position, word & ~0xFF | DATA, kind, timestamp))
    if checksum != crc32c(register, body[:attributes_size + payload_size]):
        raise Damage("wrong checksum")
    result = {"kind": "data", "position": position, "owner": owner, "type": kind, "timestamp": timestamp,
              "payload": body[attributes_size:attributes_size + payload_size].hex()}
    if attributes_size:
        result.update(attributes_of(body[:attributes_size]))
    return result


def table_of(segment, position, word):
    """Where the records of the batch at `position` begin and end, and their checksums; Damage if it is not valid."""
    length = word >> 32
    body = segment.bytes_at(position + 24, length)
    count = int.from_bytes(body[:4], "little")
    if length < 8 or count == 0 or 8 + 8 * count > length:
        raise Damage("no room for the table")
    checksum, kind, timestamp = struct.unpack("<IIq", segment.bytes_at(position + 8, 16))
    register = crc32c(segment.seed, struct.pack("<QQIq", position, word & ~0xFF | DATA, kind, timestamp))
    if checksum != crc32c(register, body[:8 + 8 * count]):
        raise Damage("wrong checksum of a batch")
    entries = list(struct.iter_unpack("<II", body[8:8 + 8 * count]))
    ends = [offset for offset, _ in entries[1:]] + [24 + length]
    least = 32 + 8 * count
    for (offset, _), end in zip(entries, ends):
        if offset < least or offset % 8 or end < offset + 24:
            raise Damage("the table leads astray")
        least = end
    return [(offset, end, checksum) for (offset, checksum), end in zip(entries, ends)]


def inner_at(segment, position, room, checksum):
    """The record of a batch at `position`; Damage if it is not valid."""
    word = segment.word_at(position)
    state, flags, _, check, length = split_word(word)
    if state != INNER or check != word_check(segment.seed, position, word):
        raise Damage("wrong word in a batch")
    if flags & ~HAS_ATTRIBUTES or 24 + length > room:
        raise Damage("longer than its place in the batch, or an unknown flag")
    if int.from_bytes(segment.bytes_at(position + 8, 4), "little") != checksum:
        raise Damage("another checksum than in the table")
    return verified(segment, position, word)


def records_at(segment, position, following):
    """What the DATA word at `position`, which was judged, stands for: a record or the records of a batch."""
    word = segment.word_at(position)
    flags = word >> 8 & 0x3F
    if flags not in (0, HAS_ATTRIBUTES, BATCH):
        raise NotImplementedError(f"position {position}: flags {flags:#04x} of a newer version")
    if flags != BATCH:
        return [dict(verified(segment, position, word), next=following)]
    places = table_of(segment, position, word)
    items = []
    for i, (offset, end, checksum) in enumerate(places):
        at, after = position + offset, following if i + 1 == len(places) else position + end
        try:
            items.append(dict(inner_at(segment, at, end - offset, checksum), next=after))
        except Damage as damage:
            items.append({"kind": "damage", "position": at, "next": after, "why": str(damage)})
    return items


def resynchronise(segment, position):
    """The next DATA record behind damage in this segment, or the segment's end."""
    while position + 8 <= segment.end():
        try:
            if segment.word_at(position) & 0xFF == DATA and judge(segment, position) == DATA:
                records_at(segment, position, position)
                return position
        except (Damage, NotImplementedError):
            pass
        position += 8
    return segment.end()


def walk(segment, durable=0):
    """Everything in one segment, up to an END (then it is the last) or the first word that is not final. What lies below
    `durable` was final."""
    position = segment.first()
    while True:
        try:
            state = judge(segment, position)
        except Damage as damage:
            found = resynchronise(segment, position + 8)
            yield {"kind": "damage", "position": position, "next": found, "why": str(damage)}
            if found == segment.end():
                return
            position = found
            continue
        _, flags, owner, _, length = split_word(segment.word_at(position))
        following = position + (24 + length + 7 & ~7)
        if state == FREE:
            return
        if state == RESERVED and position < durable:
            yield {"kind": "damage", "position": position, "next": following, "why": "a claim below D"}
            position = following
            continue
        if state == RESERVED:
            yield {"kind": "reserved", "position": position, "next": following, "owner": owner}
            return
        if state == END:
            yield {"kind": "end", "position": position, "cause": END_CAUSES.get(flags, "unknown")}
            return
        if state == GAP:
            yield {"kind": "gap", "position": position, "next": following, "cause": GAP_CAUSES.get(flags, "unknown"),
                   "owner": owner}
        else:
            try:
                yield from records_at(segment, position, following)
            except Damage as damage:
                yield {"kind": "damage", "position": position, "next": following, "why": str(damage)}
            except NotImplementedError as newer:
                yield {"kind": "newer", "position": position, "why": str(newer)}
                return
        position = following


def sealed_off(end, following):
    """What an END with a cause means: a gap up to the first word of the next segment."""
    if end["cause"] == "damage":
        return {"kind": "damage", "position": end["position"], "next": following.first(), "why": "sealed off"}
    return {"kind": "gap", "position": end["position"], "next": following.first(), "cause": end["cause"]}


def left(last, segment, following):
    """What the last item of a segment means, and the segment with which reading goes on; None: nowhere."""
    if last["kind"] == "end" and following is None:
        return {"kind": "damage", "position": last["position"], "next": segment.end(), "why": "no next segment"}, None
    if last["kind"] == "end" and last["cause"] != "rolled":
        return sealed_off(last, following), following
    if last["kind"] == "end" and following.base != segment.end():
        return {"kind": "damage", "position": last["position"], "next": following.first(), "why": "a segment is missing"}, following
    if last["kind"] == "damage" and last["next"] == segment.end() and following and following.in_use():
        return dict(last, next=following.first()), following
    return last, following if last["kind"] == "end" else None


def kept_bases(directory, control):
    bases = sorted(int(name[:20]) for name in os.listdir(directory) if re.fullmatch(r"\d{20}\.seg", name))
    kept = max(control["record"]["first_position"], 64) - 64 if control["record"] else 0
    return [base for base in bases if base >= kept] or bases


def read_topic(directory):
    control = read_control(directory)
    uuid = bytes.fromhex(control["uuid"])
    bases = kept_bases(directory, control)
    if not bases:
        raise Damage(f"{directory}: no segment")
    segment = read_segment(os.path.join(directory, f"{bases[0]:020d}.seg"), uuid)
    begin = max(control["record"]["first_position"], 64) if control["record"] else segment.first()
    if begin < segment.first():
        yield {"kind": "damage", "position": begin, "next": segment.first(), "why": "the first segment is missing"}
    sealed = None  # a gap that may go on in the next segment, and the flags of its END
    while segment:
        items = list(walk(segment, control["durable"]))
        last = items.pop() if items else {"kind": "nothing"}
        base = next((other for other in bases if other >= segment.end()), None)
        following = None if base is None else read_segment(os.path.join(directory, f"{base:020d}.seg"), uuid)
        item, onward = left(last, segment, following)
        flags = split_word(segment.word_at(last["position"]))[1] if last["kind"] == "end" else 0
        if sealed and not items and last.get("position") == segment.first() and flags == sealed[1] and onward:
            sealed[0]["next"] = onward.first()
            segment = onward
            continue
        if sealed:
            yield sealed[0]
            sealed = None
        yield from items
        if flags != 0 and onward:
            sealed = item, flags
        elif item["kind"] not in ("end", "nothing"):
            yield item
        segment = onward
    if sealed:
        yield sealed[0]


# --- the index -------------------------------------------------------------------------------------------------------

def leads_to_a_word(directory, uuid, bases, position):
    """A DATA word with a right checksum, or a GAP word, stands at `position` in the log."""
    base = max((base for base in bases if base < position), default=None)
    if base is None or position % 8:
        return False
    segment = read_segment(os.path.join(directory, f"{base:020d}.seg"), uuid)
    if not segment.first() <= position <= segment.end() - 8:
        return False
    try:
        state = judge(segment, position)
        if state == DATA:
            start_of(segment, position)
    except Damage:
        return False
    return state in (DATA, GAP)


def start_of(segment, position):
    """Checks what the checksum at `position` covers: a record, or the table of a batch."""
    word = segment.word_at(position)
    (table_of if word >> 8 & 0x3F == BATCH else verified)(segment, position, word)


def read_index(directory):
    path = os.path.join(directory, "index")
    control = read_control(directory)
    uuid = bytes.fromhex(control["uuid"])
    bases = kept_bases(directory, control)
    with open(path, "rb") as file:
        data = mended(file.read(), b"libbusIX", 60)
    _, of = file_header(data, b"libbusIX", 60, path)
    (inode,) = struct.unpack_from("<Q", data, 32)
    yield {"kind": "index", "entries": (len(data) - 64) // 32, "own": of == uuid and inode == os.stat(path).st_ino}
    for ordinal in range((len(data) - 64) // 32):
        entry = data[64 + 32 * ordinal:96 + 32 * ordinal]
        position, sequence, before, _, checksum = struct.unpack("<QQqII", entry)
        if checksum != crc32c(topic_seed(of), struct.pack("<Q", ordinal) + entry[:28]):
            yield {"kind": "bad entry", "ordinal": ordinal}
            continue
        yield {"kind": "entry", "position": position, "sequence": sequence & (1 << 63) - 1,
               "exact": sequence >> 63 == 0, "before": None if before == -1 << 63 else before,
               "leads": leads_to_a_word(directory, uuid, bases, position)}


# --- the example on the page -----------------------------------------------------------------------------------------

def hex_lines(data):
    """16 bytes a line; `*` stands for lines equal to the one above."""
    before = None
    starred = False
    for at in range(0, len(data), 16):
        row = data[at:at + 16]
        if row == before:
            if not starred:
                yield "*"
            starred = True
            continue
        before, starred = row, False
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        yield f"{at:08x}  {row[:8].hex(' ')}  {row[8:].hex(' ')}  |{text}|"
    yield f"{len(data):08x}"


def parse_hex(lines):
    data = bytearray()
    row = b""
    starred = False
    for line in lines:
        if line == "*":
            starred = True
            continue
        at = int(line[:8], 16)
        while starred and len(data) < at:
            data += row
        starred = False
        if len(data) != at:
            raise Damage(f"the hex example jumps to {at:#x}")
        row = bytes.fromhex(line[8:].split("|")[0])
        data += row
    return bytes(data)


def example(page):
    with open(page, encoding="utf-8") as file:
        block = re.search(r"^```hexdump\n(.*?)^```$", file.read(), re.S | re.M)
    if not block:
        raise Damage(f"{page}: no ```hexdump block")
    return Segment(parse_hex(block.group(1).splitlines()), page)


# --- the command -----------------------------------------------------------------------------------------------------

def items_of(mode, path):
    if mode == "topic":
        return read_topic(path)
    if mode == "segment":
        return walk(read_segment(path))
    if mode == "example":
        return walk(example(path))
    if mode == "index":
        return read_index(path)
    if mode == "control":
        return [read_control(path)]
    if mode == "sleep":
        return read_sleep(path)
    if mode == "bus":
        return [read_bus(path)]
    sys.exit(__doc__)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    mode, path = sys.argv[1:]
    if mode == "hex":
        with open(path, "rb") as file:
            print("\n".join(hex_lines(file.read())))
        return 0
    kinds = set()
    try:
        for item in items_of(mode, path):
            kinds.add(item.get("kind"))
            print(json.dumps(item))
    except Damage as damage:
        kinds.add("damage")
        print(json.dumps({"kind": "damage", "why": str(damage)}))
    except NotImplementedError as newer:
        kinds.add("newer")
        print(json.dumps({"kind": "newer", "why": str(newer)}))
    return 5 if "newer" in kinds else 4 if "damage" in kinds else 0


if __name__ == "__main__":
    sys.exit(main())
