// What was published, what was acknowledged and when; and what of it must, and may, be read after a power cut.
#ifndef LIBBUS_TESTS_CRASH_POWER_LEDGER_H_
#define LIBBUS_TESTS_CRASH_POWER_LEDGER_H_

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "libbus/format/layout.h"
#include "tests/crash/power_store.h"

namespace libbus::test {

inline constexpr Moment kNever = ~Moment{0};

struct Published {
  std::string payload;
  uint64_t position = 0;
  Moment began = 0;           // before it could be read
  Moment committed = kNever;  // its producer was told its position
  Moment durable = kNever;    // somebody was told that it is durable
  uint64_t batch = 0;         // number of its batch; 0: it is in none
};

// What is known of one record after a cut.
struct Fact {
  std::string_view payload;
  bool may;            // it may be read
  bool told;           // it was committed: it is read, or a gap says that it is not
  bool must;           // it was acknowledged as durable: it is read
  uint64_t batch = 0;  // as in Published: all of it is read, or nothing
};
using Facts = std::map<uint64_t, Fact>;  // by position

using CursorPosition = std::optional<uint64_t>;  // nothing: there is no such cursor

// A cursor was put somewhere.
struct Put {
  CursorPosition position;
  Moment began = 0;
  Moment durable = kNever;  // somebody was told that no power loss takes it back
  bool fresh = false;       // made or moved, not where it has read up to: who deletes just then does not know of it
};

// The beginning of the log was moved, to `first`.
struct Trimmed {
  uint64_t first = 0;
  Moment began = 0;
  Moment ended = 0;
  Moment durable = kNever;
};

// From there to there nothing was lost or kept, and who reads what is durable was told so.
struct DurableGap {
  uint64_t from = 0;
  uint64_t to = 0;
  Moment moment = 0;
};

// Everything that is known after a cut.
struct Known {
  Facts records;
  std::map<std::string, std::vector<CursorPosition>> cursors;  // where each may stand
  std::set<uint64_t> fresh;                                    // where one was put: may be deleted
  uint64_t first_least = format::kSegmentHeaderSize;           // where the log may begin: not before, ...
  uint64_t first_most = format::kSegmentHeaderSize;            // ... and not behind
  std::vector<DurableGap> gaps;
  uint32_t epoch = 1;
  std::vector<format::EpochEntry> epochs;  // as listed by the last recovery that was over
};

class Ledger {
 public:
  // Before a record is committed: its number.
  size_t Begin(std::string payload, Moment now) {
    all_.push_back({std::move(payload), 0, now});
    return all_.size() - 1;
  }
  void Commit(size_t number, uint64_t position, Moment now) {
    all_[number].position = position;
    all_[number].committed = now;
    numbers_[position] = number;
    // D is a prefix: what commits below it is durable, or D was wrong.
    if (position < durable_) Durable(number, now);
    if (const auto seen = seen_.find(position); seen != seen_.end()) Durable(number, seen->second);
  }
  void InBatch(size_t number, uint64_t batch) { all_[number].batch = batch; }
  void Durable(size_t number, Moment now) { all_[number].durable = std::min(all_[number].durable, now); }
  // A consumer that reads what is durable was handed the record at `position`; its producer may not yet know that.
  void DurableAt(uint64_t position, Moment now) {
    seen_.emplace(position, now);
    if (const auto number = numbers_.find(position); number != numbers_.end()) Durable(number->second, now);
  }
  // Everything committed at `before` was acknowledged.
  void AllDurable(Moment before, Moment now) {
    for (Published& record : all_) {
      if (record.committed <= before) record.durable = std::min(record.durable, now);
    }
  }
  // The watermark was read.
  void DurableBelow(uint64_t position, Moment now) {
    if (position <= durable_) return;
    durable_ = position;
    for (Published& record : all_) {
      if (record.committed != kNever && record.position < position) record.durable = std::min(record.durable, now);
    }
  }

  void DurableGapAt(uint64_t from, uint64_t to, Moment now) { gaps_.push_back({from, to, now}); }

  // Where it stands at the start. Then: it is about to be put elsewhere; and that can no longer be taken back.
  void CursorStands(const std::string& name, CursorPosition position) { cursors_[name] = {{position, 0, 0}}; }
  void PutCursor(const std::string& name, CursorPosition position, Moment began, bool fresh = false) {
    cursors_.at(name).push_back({position, began, kNever, fresh});
  }
  // It was not put there after all, but somewhere else; or nowhere.
  void CorrectCursor(const std::string& name, uint64_t position) { cursors_.at(name).back().position = position; }
  void CursorStayed(const std::string& name) { cursors_.at(name).pop_back(); }
  void CursorSettled(const std::string& name, Moment now) {
    Put& last = cursors_.at(name).back();
    last.durable = std::min(last.durable, now);
  }
  CursorPosition CursorAt(const std::string& name) const { return cursors_.at(name).back().position; }

  void Trim(uint64_t first, Moment began, Moment ended, Moment durable) {
    trims_.push_back({first, began, ended, durable});
  }

  const std::deque<Published>& all() const { return all_; }

  // Adds what a cut at `moment` leaves of it.
  void AddTo(Known& known, Moment moment) const {
    for (const Published& record : all_) {
      if (record.committed == kNever || record.began > moment) continue;
      known.records[record.position] = {record.payload, true, record.committed <= moment, record.durable <= moment,
                                        record.batch};
    }
    for (const auto& [name, puts] : cursors_) {
      known.cursors[name] = Positions(puts, moment);
      const Put* made = &puts.front();
      for (const Put& put : puts) {
        if (put.fresh) made = &put;
        if (put.position && (put.fresh || MayBeDeleted(*made, put))) known.fresh.insert(*put.position);
      }
    }
    for (const Trimmed& trimmed : trims_) {
      if (trimmed.durable <= moment) known.first_least = std::max(known.first_least, trimmed.first);
      if (trimmed.began <= moment) known.first_most = std::max(known.first_most, trimmed.first);
    }
    for (const DurableGap& gap : gaps_) {
      if (gap.moment <= moment) known.gaps.push_back(gap);
    }
  }

 private:
  // Somebody who looked for cursors before this one was there is still deleting when it commits: what it goes on from
  // is then told as evicted.
  bool MayBeDeleted(const Put& made, const Put& put) const {
    return std::any_of(trims_.begin(), trims_.end(), [&](const Trimmed& trimmed) {
      return made.fresh && trimmed.began <= made.durable && trimmed.ended >= put.began;
    });
  }

  static std::vector<CursorPosition> Positions(const std::vector<Put>& puts, Moment moment) {
    std::vector<CursorPosition> positions;
    for (const Put& put : puts) {
      if (put.durable <= moment) positions.clear();
      if (put.began <= moment) positions.push_back(put.position);
    }
    return positions;
  }

  std::map<std::string, std::vector<Put>> cursors_;
  std::vector<Trimmed> trims_;
  std::vector<DurableGap> gaps_;
  std::deque<Published> all_;           // payloads stay where they are: they are published from here
  std::map<uint64_t, size_t> numbers_;  // by position
  std::map<uint64_t, Moment> seen_;     // by position: when it was handed out as durable
  uint64_t durable_ = 0;
};

}  // namespace libbus::test

#endif  // LIBBUS_TESTS_CRASH_POWER_LEDGER_H_
