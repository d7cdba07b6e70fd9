// What each byte of a small topic means, and what must follow from a flipped bit in it: the table of the proof.
#ifndef LIBBUS_TESTS_CRASH_BITS_TABLE_H_
#define LIBBUS_TESTS_CRASH_BITS_TABLE_H_

#include <cstddef>
#include <string>
#include <vector>

#include "tests/crash/spoiled.h"

namespace libbus::test {

enum class Effect : uint8_t {
  kRecord,   // a checksum covers it, and the word says where the next one stands: that record alone is a gap
  kWord,     // a word: a gap up to the next record that verifies; at the end of the log an error
  kEnd,      // an END: a gap of the bytes up to the next segment, and no record is lost
  kTail,     // the FREE word: all is read, and behind it an error
  kBehind,   // behind the FREE word: all is read; verify tells, because recovery would not append there
  kMended,   // a header: its checksum tells which bit it is, so everything is read; verify names the place
  kTold,     // everything is read; verify names the file
  kCursor,   // one copy of two: the cursor stands where it stood when it was last synced, or where it stands
  kNothing,  // nobody reads it, or nobody believes it: everything is read, and verify has no damage to tell of
  kAlarm,    // a live word that says how far the log had come: everything is read; behind it perhaps an error
};

// How much of it the short form flips.
enum class Part : uint8_t { kAll, kOneOfByte, kSample };

struct Field {
  std::string file;
  uint64_t from = 0;  // offsets in the file
  uint64_t to = 0;
  Effect effect = Effect::kNothing;
  Part part = Part::kSample;
  std::string name;
  uint64_t unit_from = 0;  // kRecord, kWord, kEnd, kTail: the positions that are hit
  uint64_t unit_to = 0;
};

// The words and records of the segments.
class SegmentFields {
 public:
  SegmentFields(const SmallTopic& topic, std::vector<Field>& fields) : topic_(topic), fields_(fields) {}

  void Add() {
    for (const Unit& unit : topic_.units()) {
      if (unit.frame != 0 && unit.frame != frame_) AddFrame(unit.frame);
      frame_ = unit.frame;
      CloseSegment(unit.from);
      AddUnit(unit);
      next_ = unit.to;
    }
    AddTail();
  }

 private:
  void Put(uint64_t from, uint64_t to, Effect effect, Part part, std::string name, uint64_t unit_from = 0,
           uint64_t unit_to = 0) {
    if (from >= to) return;
    const uint64_t base = topic_.BaseOf(from);
    fields_.push_back(
        {topic_.SegmentFile(from), from - base, to - base, effect, part, std::move(name), unit_from, unit_to});
  }

  // The END in front of the next segment, what is behind it, and that segment's header.
  void CloseSegment(uint64_t from) {
    const uint64_t base = topic_.BaseOf(from);
    if (next_ != 0 && topic_.BaseOf(next_) == base) return;
    if (next_ != 0) {
      Put(next_, next_ + 8, Effect::kEnd, Part::kAll, "END", next_, base + format::kSegmentHeaderSize);
      Put(next_ + 8, base, Effect::kNothing, Part::kSample, "behind the END: nobody reads it");
    }
    Put(base, base + format::kSegmentHeaderSize, Effect::kMended, Part::kOneOfByte, "segment header", base);
  }

  void AddFrame(uint64_t frame) {
    CloseSegment(frame);
    const uint64_t first = frame + topic_.frames().at(frame);
    uint64_t to = first;
    for (const Unit& unit : topic_.units()) to = unit.frame == frame ? unit.to : to;
    Put(frame, frame + 8, Effect::kWord, Part::kAll, "word of a batch", frame, to);
    Put(frame + 8, first, Effect::kRecord, Part::kOneOfByte, "header or table of a batch", frame, to);
    next_ = first;
  }

  void AddUnit(const Unit& unit) {
    const uint64_t header = unit.from + format::kRecordHeaderSize;
    // An inner record's word says nothing that the table does not say.
    const Effect word = unit.kind == Unit::Kind::kInner ? Effect::kRecord : Effect::kWord;
    const char* const kind = unit.kind == Unit::Kind::kInner ? "inner word"
                             : unit.kind == Unit::Kind::kGap ? "word of a gap"
                                                             : "word";
    Put(unit.from, unit.from + 8, word, Part::kAll, kind, unit.from, unit.to);
    if (unit.kind == Unit::Kind::kGap) {
      return Put(unit.from + 8, unit.to, Effect::kNothing, Part::kSample, "behind a gap's word: nobody reads it");
    }
    Put(unit.from + 8, header, Effect::kRecord, Part::kOneOfByte, "checksum, type, timestamp", unit.from, unit.to);
    const uint64_t payload = unit.covered - unit.record.payload.size();
    Put(header, payload, Effect::kRecord, Part::kOneOfByte, "attributes", unit.from, unit.to);
    Put(payload, unit.covered, Effect::kRecord, Part::kSample, "payload", unit.from, unit.to);
    Put(unit.covered, unit.to, Effect::kNothing, Part::kSample, "slack behind a payload: nobody reads it");
  }

  void AddTail() {
    const uint64_t tail = topic_.tail();
    Put(tail, tail + 8, Effect::kTail, Part::kAll, "the FREE word", tail, tail + 8);
    Put(tail + 8, topic_.BaseOf(tail) + topic_.segment_size(), Effect::kBehind, Part::kSample, "behind the FREE word",
        tail, tail);
  }

  const SmallTopic& topic_;
  std::vector<Field>& fields_;
  uint64_t next_ = 0;
  uint64_t frame_ = 0;
};

// A run of fields of one file; what lies in between is read by nobody.
class FileFields {
 public:
  FileFields(const SmallTopic& topic, std::string file, std::vector<Field>& fields)
      : file_(std::move(file)), size_(topic.files().at(file_).size()), fields_(fields) {}
  ~FileFields() { Put(size_, size_, Effect::kNothing, Part::kSample, ""); }
  FileFields(const FileFields&) = delete;
  FileFields& operator=(const FileFields&) = delete;

  void Put(uint64_t from, uint64_t to, Effect effect, Part part, const std::string& name) {
    if (at_ < from) {
      fields_.push_back({file_, at_, from, Effect::kNothing, Part::kSample, file_ + ": not used, not covered"});
    }
    if (from < to) fields_.push_back({file_, from, to, effect, part, file_ + ": " + name});
    at_ = to;
  }

 private:
  const std::string file_;
  const uint64_t size_;
  std::vector<Field>& fields_;
  uint64_t at_ = 0;
};

inline void AddControl(const SmallTopic& topic, std::vector<Field>& fields) {
  FileFields control(topic, "t/control", fields);
  const size_t used = offsetof(format::ControlHeader, reserved);
  control.Put(0, used, Effect::kMended, Part::kOneOfByte, "header");
  control.Put(used, 4092, Effect::kMended, Part::kSample, "header, reserved: the checksum covers it");
  control.Put(4092, 4096, Effect::kMended, Part::kOneOfByte, "header's checksum");
  for (const uint64_t copy : format::kControlCopyOffset) {
    // Both were written more than once.
    control.Put(copy, copy + offsetof(format::ControlRecord, epochs), Effect::kTold, Part::kOneOfByte, "a copy");
  }
  using Live = format::LiveWords;
  const auto live = [&](size_t offset, size_t size, Effect effect, const char* name) {
    control.Put(format::kLiveOffset + offset, format::kLiveOffset + offset + size, effect, Part::kAll, name);
  };
  live(0, 8, Effect::kAlarm, "tail hint: believed only if a record verifies there");
  live(offsetof(Live, durable), 24, Effect::kNothing, "D and syncs: told, not believed where it matters");
  live(offsetof(Live, known_tail), 8, Effect::kAlarm, "known tail: a FREE word before it is damage");
  const size_t event = format::kLiveOffset + offsetof(Live, sync_event);
  control.Put(event, format::kLiveOffset + sizeof(Live), Effect::kNothing, Part::kOneOfByte, "other live words");
  control.Put(format::kSlotsOffset, format::kSlotsOffset + 3 * sizeof(format::Slot), Effect::kNothing, Part::kOneOfByte,
              "slots: hints of where claims may be open, and who held them");
}

inline void AddOthers(const SmallTopic& topic, std::vector<Field>& fields) {
  FileFields bus(topic, "bus", fields);
  bus.Put(0, offsetof(format::BusFile, reserved), Effect::kMended, Part::kOneOfByte, "identity");
  bus.Put(offsetof(format::BusFile, reserved), 252, Effect::kMended, Part::kSample, "identity, reserved");
  bus.Put(252, 256, Effect::kMended, Part::kOneOfByte, "identity's checksum");
  FileFields locks(topic, "t/locks", fields);
  locks.Put(0, sizeof(format::LocksFile), Effect::kMended, Part::kOneOfByte, "header");
  FileFields sleep(topic, "t/sleep", fields);
  sleep.Put(0, 64, Effect::kMended, Part::kOneOfByte, "header");
  FileFields index(topic, "t/index", fields);
  index.Put(0, sizeof(format::IndexHeader), Effect::kMended, Part::kOneOfByte, "header");
  index.Put(sizeof(format::IndexHeader), topic.files().at("t/index").size(), Effect::kTold, Part::kOneOfByte,
            "entries");
  FileFields lock(topic, "t/cursors/c.lock", fields);
  lock.Put(0, 64, Effect::kNothing, Part::kOneOfByte, "for people");
  FileFields cursor(topic, "t/cursors/c", fields);
  cursor.Put(0, 40, Effect::kMended, Part::kOneOfByte, "header");
  cursor.Put(40, 4092, Effect::kMended, Part::kSample, "header, reserved: the checksum covers it");
  cursor.Put(4092, 4096, Effect::kMended, Part::kOneOfByte, "header's checksum");
  for (const uint64_t copy : format::kCursorCopyOffset) {
    cursor.Put(copy, copy + sizeof(format::CursorRecord), Effect::kCursor, Part::kOneOfByte, "a copy");
  }
}

inline std::vector<Field> AllFields(const SmallTopic& topic) {
  std::vector<Field> fields;
  SegmentFields(topic, fields).Add();
  AddControl(topic, fields);
  AddOthers(topic, fields);
  return fields;
}

// What a reader gets after a flip in the field.
inline Expected ExpectedAfter(const SmallTopic& topic, const Field& field) {
  Expected expected = AllOf(topic);
  const uint64_t segment_end = topic.BaseOf(field.unit_from) + topic.segment_size();
  if (field.effect == Effect::kRecord || field.effect == Effect::kEnd) {
    LoseRange(expected, field.unit_from, field.unit_to);
  } else if (field.effect == Effect::kWord) {
    // The next DATA word: claims that were given up are passed over with it, and no inner record is one.
    const auto& units = topic.units();
    const auto next = std::find_if(units.begin(), units.end(), [&](const Unit& unit) {
      return unit.from >= field.unit_to && unit.kind != Unit::Kind::kGap;
    });
    if (next == units.end()) {
      EndAt(expected, field.unit_from);
    } else {
      const uint64_t word = next->frame != 0 ? next->frame : next->from;
      LoseRange(expected, field.unit_from, std::min(word, segment_end + format::kSegmentHeaderSize));
    }
  } else if (field.effect == Effect::kTail) {
    expected.ends_bad = true;
  }
  return expected;
}

}  // namespace libbus::test

#endif  // LIBBUS_TESTS_CRASH_BITS_TABLE_H_
