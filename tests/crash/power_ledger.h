// What was published, what was acknowledged and when; and what of it must, and may, be read after a power cut.
#ifndef LIBBUS_TESTS_CRASH_POWER_LEDGER_H_
#define LIBBUS_TESTS_CRASH_POWER_LEDGER_H_

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <utility>

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

  const std::deque<Published>& all() const { return all_; }

  // Adds what a cut at `moment` leaves of it.
  void AddTo(Facts& facts, Moment moment) const {
    for (const Published& record : all_) {
      if (record.committed == kNever || record.began > moment) continue;
      facts[record.position] = {record.payload, true, record.committed <= moment, record.durable <= moment,
                                record.batch};
    }
  }

 private:
  std::deque<Published> all_;           // payloads stay where they are: they are published from here
  std::map<uint64_t, size_t> numbers_;  // by position
  std::map<uint64_t, Moment> seen_;     // by position: when it was handed out as durable
  uint64_t durable_ = 0;
};

}  // namespace libbus::test

#endif  // LIBBUS_TESTS_CRASH_POWER_LEDGER_H_
