#include "tools/bus/guides.h"

#include <algorithm>

namespace bustool {
namespace {

Guide Ranges() {
  return {"ranges",
          "how to say which records: A:B, +N, -N, @TIME",
          {{"",
            R"(A RANGE is A:B, and B is not included. Either may be left out, and a lone A means A: (from there on).

  start     the oldest record kept
  end       behind the last record
  N         the record at position N, a number of bytes, as %p and --json print it
  +N        the N-th record, from 0
  -N        N records before the end
  @TIME     the first record not before TIME: RFC 3339, seconds since 1970, or
            @-2h, so long ago (units: ns us ms s m h d)

A position inside a record is an error where a range begins, and names where the record starts; one inside a gap begins
with the gap. A range that ends before it begins is an error. +N of a record that is deleted begins with the oldest kept, and
beyond the end there is nothing yet.

Timestamps come from the clocks of the producers and need not rise: @TIME finds the first record that is not before it,
and what follows may be older.

  bus cat orders -o -10               the last ten
  bus cat orders -o +100:+200         a hundred, by number
  bus cat orders -o @-1h              what came in the last hour
  bus cat orders -o @2026-01-31T12:00:00Z:@2026-01-31T12:05:00Z)"}}};
}

Guide Formats() {
  return {"formats",
          "how records are printed: text, ndjson, hex, raw, %-patterns",
          {{"",
            R"(  text      the payload and a newline; the default
  raw       the payload alone
  hex       the payload as hexadecimal digits, and a newline
  ndjson    the same as --json: one object a line, with everything that the record has
  PATTERN   any text with a % in it:

  %p        position                  %s        payload
  %k        key                       %t        time, RFC 3339 with nanoseconds
  %y        type                      %l        length of the payload in bytes
  %h        headers, NAME=VALUE,...   %%        a percent sign
  \n  \t  \\                          newline, tab, backslash

JSON texts are UTF-8. Bytes that are none stand as base64 under the same name with _base64 behind it: payload_base64.

  bus cat orders --format '%p %t %k %s\n')"}}};
}

Guide ExitCodes() {
  return {"exit-codes",
          "what a command says by its exit code",
          {{"",
            R"(  0         done; that the reader of stdout went away is no error (bus cat orders | head)
  1         failed
  2         the command line is wrong
  3         finished, but records are missing or may be: a gap of loss was met, or a recovery has sealed something off
  4         damage: something does not verify
  5         timed out
  130       interrupted by SIGINT; what was published or printed before is whole

An error is one line on stderr: bus: where: what: what to do. Data is on stdout, and nothing else is.)"}}};
}

Guide Environment() {
  return {"environment",
          "variables and files that bus looks at",
          {{"",
            R"(  BUS_PATH  the bus, where --bus is not given. Without both it is ./bus
  BUS_PAGER the pager for long listings; else PAGER, else less. cat, or nothing: none
  LESS      FRX where it is not set: leave at once what fits the screen, let colours through
  NO_COLOR  if not empty: no colours. There are none where stdout is no terminal either

  BUS/bus               the identity of the bus
  BUS/TOPIC/control     what the topic is, who is attached, how far it is durable
  BUS/TOPIC/*.seg       the log, segment by segment, each named by its first position
  BUS/TOPIC/index       a cache for searching; it may be deleted
  BUS/TOPIC/cursors/    named read positions
  BUS/TOPIC/locks, BUS/TOPIC/sleep   who lives, and who waits)"}}};
}

Guide Library() {
  return {
      "libbus",
      "a persistent message bus in shared memory: what it is and what it promises",
      {{"Synopsis",
        R"(  #include <libbus/bus.h>

  auto bus = libbus::Bus::Open("orders.bus", {.create = true});
  auto topic = bus->OpenTopic("orders", {.create = true});
  auto producer = topic->NewProducer();
  absl::StatusOr<libbus::Position> at = producer->Publish("bytes", {.key = "k"});
  auto consumer = topic->NewConsumer({.from = libbus::From::Start()});
  absl::StatusOr<libbus::RecordView> record = consumer->Next(absl::Seconds(1));)"},
       {"Description",
        R"(A bus is a directory. A topic in it is one append-only log, kept in segment files that producers and consumers map
into their memory. Producers append records, consumers in the same or other processes read the same pages, futexes wake
them. There is no server. Many producers may write a topic at once, or one at a time to an exclusive one.

A record has a payload, and may have a key, headers, a type, a timestamp and the position of what it was made from. It
has a position, the offset of its first byte in the log, which never changes, and a sequence, its ordinal. Records of a
batch are published all or none.

A consumer starts where it says, or where its named cursor stands, and gets every record in order of position. Where
something is missing it gets a gap, with its range and cause. A view of a record is valid until the consumer's next call
of Next, Poll or Seek.)"},
       {"Promises",
        R"(kill -9 of any processes, at any instruction: what was published is kept, and can be read at once while a process
with a producer runs, else when the next writer opens the topic.

Power loss: what was acknowledged as durable is kept. What was committed and not durable may go, each record for itself,
and is reported as one step of the epoch and as gaps. No record appears that was not published. Durable is what a publish
with RecordOptions::durable, Topic::WaitDurable or Topic::Sync has acknowledged, or the topic's policy: each record,
after a time, after so many bytes.

Bit rot, torn pages: never a wrong payload. What does not verify is a gap, exact in bytes.

Disk full: a publish returns RESOURCE_EXHAUSTED before a byte is touched. Consumers, cursors and tools go on.

A process that stalls inside a publish: its claim is revoked after claim_timeout, and it is told ABORTED.)"},
       {"Gaps",
        R"(  torn, damage, power loss, copied, other mount, sync failed, evicted
            records may be missing there: handed out unless the consumer asks otherwise
  dead, revoked, aborted
            claims that were given up: nothing that was published is missing)"},
       {"Errors",
        R"(Every call returns an absl::Status or StatusOr; nothing throws. Its message is one line: where, what, what to do.

  NOT_FOUND            no such bus, topic or cursor
  ALREADY_EXISTS       it is there
  INVALID_ARGUMENT     the caller's value
  FAILED_PRECONDITION  wrong mode, held by another, options contradict, after fork
  OUT_OF_RANGE         a position that is not there; the end of a bounded range
  ABORTED              a claim was revoked, or an exclusive topic taken over
  RESOURCE_EXHAUSTED   the disk is full, or something with a limit
  DATA_LOSS            bytes do not verify
  DEADLINE_EXCEEDED    not in time
  CANCELLED            Consumer::Interrupt, or the caller's own callback
  UNIMPLEMENTED        made by a newer version
  PERMISSION_DENIED    the file system says no
  UNAVAILABLE          a sync failed: nothing more is durable there)"},
       {"Limits",
        R"(Linux on x86-64; a local file system whose mappings are shared: ext4, xfs, btrfs, tmpfs (volatile); not NFS. One user
writes to a bus, its owner; others can be let in to read. 1023 producers a topic at a time, records up to 4 GiB. After
fork() the child must open the bus anew.)"}}};
}

}  // namespace

const std::vector<Guide>& Guides() {
  static const std::vector<Guide> guides = {Ranges(), Formats(), ExitCodes(), Environment(), Library()};
  return guides;
}

const Guide& GuideOf(const std::string& name) {
  return *std::find_if(Guides().begin(), Guides().end(), [&](const Guide& guide) { return guide.name == name; });
}

}  // namespace bustool
