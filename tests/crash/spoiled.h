// What must be read of a small topic (small_topic.h) whose files were spoiled at one place, and what was wrong if not.
#ifndef LIBBUS_TESTS_CRASH_SPOILED_H_
#define LIBBUS_TESTS_CRASH_SPOILED_H_

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/crash/small_topic.h"
#include "tests/support/proof.h"

namespace libbus::test {

// What a reader that begins at the start must get: every item, and how it ends.
struct Expected {
  std::vector<OwnedRecord> items;
  bool refused = false;   // nothing is read at all
  bool ends_bad = false;  // behind the items an error that names damage, not the end of the log
};

inline OwnedRecord DamageGap(uint64_t from, uint64_t to) {
  OwnedRecord gap;
  gap.kind = RecordKind::kGap;
  gap.position = {from};
  gap.next_position = {to};
  gap.gap = {GapCause::kDamage, {from}, {to}, std::nullopt};
  return gap;
}

inline Expected AllOf(const SmallTopic& topic) {
  Expected all;
  for (const Unit& unit : topic.units()) all.items.push_back(unit.record);
  return all;
}

// Takes the items that begin in [from, to) out and puts a gap there.
inline void LoseRange(Expected& expected, uint64_t from, uint64_t to) {
  auto& items = expected.items;
  const auto first = std::find_if(items.begin(), items.end(), [&](const auto& i) { return i.position.offset >= from; });
  const auto last = std::find_if(first, items.end(), [&](const auto& i) { return i.position.offset >= to; });
  items.insert(items.erase(first, last), DamageGap(from, to));
}

// ... and nothing is read from there on.
inline void EndAt(Expected& expected, uint64_t from) {
  auto& items = expected.items;
  items.erase(std::find_if(items.begin(), items.end(), [&](const auto& i) { return i.position.offset >= from; }),
              items.end());
  expected.ends_bad = true;
}

// True if what was read is what was expected. The owner of a damaged record is told where its word survived.
inline bool SameItem(const OwnedRecord& read, const OwnedRecord& expected) {
  if (read.sequence && expected.sequence && *read.sequence != *expected.sequence) return false;
  if (expected.kind == RecordKind::kGap && expected.gap.cause == GapCause::kDamage) {
    return read.kind == RecordKind::kGap && read.gap.cause == GapCause::kDamage && read.gap.from == expected.gap.from &&
           read.gap.to == expected.gap.to;
  }
  return SameRecord(read, expected);
}

inline std::string Describe(const OwnedRecord& item) {
  return fmt::format("{} {}..{} sequence {}", item.kind == RecordKind::kGap ? GapCauseName(item.gap.cause) : "record",
                     item.position.offset, item.next_position.offset,
                     item.sequence ? fmt::format("{}", *item.sequence) : "unknown");
}

// Damage, told as such: never the end of the log, never a time-out.
inline bool TellsDamage(const absl::Status& status) {
  return absl::IsDataLoss(status) || absl::IsFailedPrecondition(status) || absl::IsUnimplemented(status);
}

// Counts what is wrong with a reading.
class Judge {
 public:
  Judge(const SmallTopic& topic, Figures& figures) : topic_(topic), figures_(figures) {}

  // What is spoiled, and where just now.
  void Name(std::string what, std::string where) {
    what_ = std::move(what);
    where_ = std::move(where);
  }
  // What was wrong: each kind with its first case.
  std::string Summary() const {
    std::string text;
    for (const auto& [name, kind] : kinds_) text += fmt::format("{}, {} times: {}\n", name, kind.count, kind.first);
    return text;
  }

  // `start`: the item of `expected` that a reader from there gets first; unset: any, but then all that follow.
  void Check(const std::string& how, const Readout& read, const Expected& expected, std::optional<size_t> start = 0) {
    figures_.records += read.items.size();
    if (Phantoms(how, read)) return;
    if (!read.opened.ok()) {
      const bool told = TellsDamage(read.opened) && (expected.refused || expected.ends_bad);
      if (!told) Wrong(figures_.lost, how, "refused: " + read.opened.ToString());
      return;
    }
    if (expected.refused) return Wrong(figures_.silent, how, "opened, and should not be");
    if (!start) start = Find(read, expected);
    if (!start) return Wrong(figures_.silent, how, "begins with " + Describe(read.items.front()));
    for (size_t i = 0; i < read.items.size() || *start + i < expected.items.size(); ++i) {
      if (!Same(how, read, i, expected, *start + i)) return;
    }
    const bool right = expected.ends_bad ? TellsDamage(read.end) : absl::IsDeadlineExceeded(read.end);
    if (!right) Wrong(expected.ends_bad ? figures_.silent : figures_.lost, how, "ends with " + read.end.ToString());
  }

  // Only that every record was published there.
  void CheckPublished(const std::string& how, const Readout& read) {
    figures_.records += read.items.size();
    Phantoms(how, read);
  }

  // After somebody has written: each of these is there once and in order, and gaps say what else was there.
  void CheckKept(const std::string& how, const Readout& read, const Expected& expected) {
    figures_.records += read.items.size();
    if (Phantoms(how, read)) return;
    if (!read.opened.ok()) {
      const bool told = TellsDamage(read.opened) && (expected.refused || expected.ends_bad);
      return told ? void() : Wrong(figures_.lost, how, "refused: " + read.opened.ToString());
    }
    size_t next = 0;
    for (const OwnedRecord& item : expected.items) {
      if (item.kind == RecordKind::kGap) continue;
      while (next < read.items.size() && !SameItem(read.items[next], item)) ++next;
      if (next == read.items.size()) return Wrong(figures_.lost, how, "not there: " + Describe(item));
    }
    Untold(how, read);
  }

  void Wrong(uint64_t& count, const std::string& how, const std::string& what) {
    ++count;
    Kind& kind = kinds_[what_ + ", " + how];
    if (kind.count++ == 0) kind.first = fmt::format("{}: {}", where_, what);
  }
  Figures& figures() { return figures_; }

 private:
  // A record that was never published there is the worst of all.
  bool Phantoms(const std::string& how, const Readout& read) {
    for (const OwnedRecord& item : read.items) {
      if (item.kind == RecordKind::kGap || item.payload.starts_with("written later")) continue;
      const auto& units = topic_.units();
      const auto unit =
          std::find_if(units.begin(), units.end(), [&](const Unit& u) { return u.from == item.position.offset; });
      if (unit != units.end() && SameRecord(item, unit->record)) continue;
      Wrong(figures_.phantom, how, Describe(item));
      return true;
    }
    return false;
  }

  // Each record that is not there is in a gap that tells of a loss, unless reading ended before it with an error.
  void Untold(const std::string& how, const Readout& read) {
    for (const Unit& unit : topic_.units()) {
      if (unit.kind == Unit::Kind::kGap || (TellsDamage(read.end) && unit.from >= read.at)) continue;
      const bool told = std::any_of(read.items.begin(), read.items.end(), [&](const OwnedRecord& item) {
        const bool loss = item.kind == RecordKind::kGap && item.gap.loss();
        return loss ? item.gap.from.offset <= unit.from && unit.to <= item.gap.to.offset
                    : item.position.offset == unit.from;
      });
      if (!told) Wrong(figures_.silent, how, "gone, and nothing says so: " + Describe(unit.record));
    }
  }

  std::optional<size_t> Find(const Readout& read, const Expected& expected) const {
    if (read.items.empty()) return expected.items.size();
    const auto& items = expected.items;
    const auto found =
        std::find_if(items.begin(), items.end(), [&](const auto& item) { return SameItem(read.items.front(), item); });
    return found == items.end() ? std::nullopt : std::optional<size_t>(found - items.begin());
  }

  bool Same(const std::string& how, const Readout& read, size_t i, const Expected& expected, size_t at) {
    const OwnedRecord* const got = i < read.items.size() ? &read.items[i] : nullptr;
    const OwnedRecord* const wanted = at < expected.items.size() ? &expected.items[at] : nullptr;
    if (got != nullptr && wanted != nullptr && SameItem(*got, *wanted)) return true;
    const std::string text = fmt::format("{} instead of {}", got != nullptr ? Describe(*got) : read.end.ToString(),
                                         wanted != nullptr ? Describe(*wanted) : "the end");
    const bool gap = got != nullptr && got->kind == RecordKind::kGap;
    Wrong(gap || wanted == nullptr ? figures_.lost : figures_.silent, how, text);
    return false;
  }

  const SmallTopic& topic_;
  Figures& figures_;
  struct Kind {
    uint64_t count = 0;
    std::string first;
  };
  std::string what_;
  std::string where_;
  std::map<std::string, Kind> kinds_;
};

// What verify says.
struct Verified {
  absl::Status status;
  std::vector<Finding> findings;
  const Finding* FirstDamage() const {
    const auto found = std::find_if(findings.begin(), findings.end(), [](const Finding& f) { return f.damage; });
    return found == findings.end() ? nullptr : &*found;
  }
};

inline Verified VerifyAll(const SmallTopic& topic) {
  Verified verified;
  verified.status = VerifyBus(topic.bus(), [&](const Finding& finding) {
                      verified.findings.push_back(finding);
                      return true;
                    }).status();
  return verified;
}

// The topic, opened; an error of either step.
inline absl::StatusOr<Topic> OpenSmall(const SmallTopic& topic, bool read_only) {
  auto bus = Bus::Open(topic.bus(), {.read_only = read_only, .background = false});
  if (!bus.ok()) return bus.status();
  return bus->OpenTopic("t");
}

}  // namespace libbus::test

#endif  // LIBBUS_TESTS_CRASH_SPOILED_H_
