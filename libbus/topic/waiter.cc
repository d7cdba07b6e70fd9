#include "libbus/topic/waiter.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <limits>

#include "libbus/platform/seam.h"
#include "libbus/platform/shared_word.h"
#include "libbus/platform/status.h"

namespace libbus::internal {
namespace {

using format::Word;
using platform::FutexWaiter;
using platform::Relax;
using platform::Seam;

// While records flow, the first poll that finds nothing is followed by a pause of this length: a tight poll would take
// the cache line away from the producer between reserve, fill and commit.
constexpr int64_t kFlowPause = 800;
// Polls between two looks at the clock.
constexpr int kPollsPerClock = 64;
// As good as for ever, and can be added to a time.
constexpr int64_t kLongestSpin = std::numeric_limits<int64_t>::max() / 4;

// Bounds of sleeps: doubled from the first to the last. They heal a death between commit and wake, no more.
constexpr int64_t kFirstBound = 1'000'000;
constexpr int64_t kLastBound = 100'000'000;

}  // namespace

Waiter::Waiter(TopicImpl& topic, const ConsumerOptions& options)
    : topic_(topic),
      wait_(options.wait),
      spin_(std::clamp(absl::ToInt64Nanoseconds(options.spin), int64_t{0}, kLongestSpin)) {
  if (!topic.read_only()) watcher_.emplace(topic.log(), topic.probe());
}

void Waiter::Interrupt() {
  interrupted_.Set();
  event_.Raise();
  Seam::FutexWake(event_.futex(), std::numeric_limits<int>::max(), false);
}

int64_t Waiter::StuckNow(const log::Reader& reader) {
  const int64_t now = Seam::MonotonicNow();
  // FREE that became RESERVED is looked after as soon as if it had just been found.
  if (stuck_since_ != 0 && stuck_at_ == reader.word().bits()) return now;
  stuck_since_ = now;
  stuck_at_ = reader.word().bits();
  bound_ = kFirstBound;
  look_at_ = now + Seam::Bound(bound_);
  return now;
}

absl::Status Waiter::Idle(log::Reader& reader) {
  const int64_t now = StuckNow(reader);
  flowing_ = false;
  return now >= look_at_ ? LookAround(reader, now) : absl::OkStatus();
}

absl::Status Waiter::Wait(log::Reader& reader, int64_t deadline) {
  if (interrupted_.Take()) return absl::CancelledError("interrupted");
  int64_t now = StuckNow(reader);
  if (now < deadline && wait_ != libbus::Wait::kPark) {
    const int64_t enough = wait_ == libbus::Wait::kSpin ? deadline : stuck_since_ + spin_;
    if (Poll(reader, std::min({enough, deadline, look_at_}))) return absl::OkStatus();
    now = Seam::MonotonicNow();
  }
  flowing_ = false;
  if (now < deadline && now < look_at_ && wait_ != libbus::Wait::kSpin) {
    const bool woken = Park(reader, std::min(deadline, look_at_));
    if (!reader.Pending()) return absl::OkStatus();
    now = Seam::MonotonicNow();
    // Woken for nothing that stands in the log: the topic was removed, perhaps.
    if (woken) look_at_ = now;
  }
  if (now >= look_at_) LIBBUS_RETURN_IF_ERROR(LookAround(reader, now));
  if (interrupted_.Take()) return absl::CancelledError("interrupted");
  return now < deadline || !reader.Pending() ? absl::OkStatus() : TimedOut(reader);
}

absl::Status Waiter::WaitForSync(const log::Reader& reader, int64_t deadline) {
  if (interrupted_.Take()) return absl::CancelledError("interrupted");
  flowing_ = false;
  const auto sleep = PrepareSleepForSync(reader);
  if (!sleep) return absl::OkStatus();
  const int64_t now = Seam::MonotonicNow();
  if (now >= deadline) {
    return absl::DeadlineExceededError(fmt::format("{}: nothing durable at {} in time (committed records may be there)",
                                                   topic_.log().path(), reader.position()));
  }
  if (sync_look_at_ == 0) sync_look_at_ = now + Seam::Bound(kFirstBound);
  const int64_t bound = wait_ == libbus::Wait::kSpin ? 0 : std::min(deadline - now, Seam::Bound(kLastBound));
  if (bound > 0) {
    topic_.log().sleep().sleeps().Add(1);
    if (Seam::FutexWaitAny(*sleep, bound) == -ENOSYS) {
      Seam::FutexWait(sleep->front().word, sleep->front().expected, std::min(bound, kLastBound), true);
    }
  }
  // Whether a sync has ended or not: one that stops at the claim of a dead producer changes nothing here.
  return LookForSync(reader);
}

absl::Status Waiter::LookForSync(const log::Reader& reader) {
  const int64_t now = Seam::MonotonicNow();
  if (now < sync_look_at_ && sync_look_at_ - now <= Seam::Bound(kLastBound)) return absl::OkStatus();
  // The first time there is nothing to see yet.
  const bool first = sync_look_at_ == 0;
  sync_look_at_ = now + Seam::Bound(kFirstBound);
  if (first) return absl::OkStatus();
  if (reader.place().Read().state() == format::State::kReserved) LIBBUS_RETURN_IF_ERROR(LookAfterClaim(reader));
  return topic_.log().CheckStillThere();
}

absl::Status Waiter::LookAfterClaim(const log::Reader& reader) {
  if (watcher_) return watcher_->Look(reader.place());
  topic_.log().sleep().CallForHelp();
  return absl::OkStatus();
}

bool Waiter::Poll(const log::Reader& reader, int64_t until) const {
  if (flowing_) {
    const int64_t quiet_until = std::min(until, Seam::MonotonicNow() + kFlowPause);
    do {
      for (int i = 0; i < 8; ++i) Relax();
    } while (Seam::MonotonicNow() < quiet_until);
  }
  do {
    for (int i = 0; i < kPollsPerClock; ++i) {
      if (!reader.Pending()) return true;
      Relax();
    }
  } while (!interrupted_.Read() && Seam::MonotonicNow() < until);
  return false;
}

std::optional<Waiter::Sleep> Waiter::PrepareSleep(const log::Reader& reader) {
  const uint32_t calm = event_.Read();
  if (interrupted_.Read()) return std::nullopt;
  longest_sleep_ = topic_.log().AnnounceSleep(reader.position());
  const platform::RecordWordView word = reader.place().segment->view(reader.position());
  // Read here: the word that was read last may be another's, if a limit stood before this one.
  const Word waited = reader.place().Read();
  if (!waited.is_free() && waited.state() != format::State::kReserved) return std::nullopt;
  return Sleep{{{word.futex(), static_cast<uint32_t>(waited.bits()), true}, {event_.futex(), calm, false}}};
}

std::optional<Waiter::Sleep> Waiter::PrepareSleepForSync(const log::Reader& reader) {
  longest_sleep_ = std::numeric_limits<int64_t>::max();
  const log::Control& control = topic_.log().control();
  // A sync that ends behind this read changes the word.
  const uint64_t seen = control.sync_event().Read();
  const uint32_t calm = event_.Read();
  if (interrupted_.Read() || topic_.Durable().offset > reader.position()) return std::nullopt;
  return Sleep{{{control.sync_event().futex(), static_cast<uint32_t>(seen), true}, {event_.futex(), calm, false}}};
}

void Waiter::PassOn(const log::Reader& reader) const {
  if (reader.Pending()) return;
  Seam::FutexWake(reader.place().segment->view(reader.position()).futex(), 1, true);
}

absl::Status Waiter::LookWhereDue(log::Reader& reader, bool woken) {
  flowing_ = false;
  const int64_t now = StuckNow(reader);
  return reader.Pending() && (woken || now >= look_at_) ? LookAround(reader, now) : absl::OkStatus();
}

int64_t Waiter::Patience(const log::Reader& reader) {
  const int64_t now = StuckNow(reader);
  return std::clamp(look_at_ - now, int64_t{0}, longest_sleep_);
}

int64_t Waiter::PatienceForSync() { return Seam::Bound(kLastBound); }

std::optional<int64_t> Waiter::spin() const {
  if (wait_ == libbus::Wait::kSpin) return std::nullopt;
  return wait_ == libbus::Wait::kPark ? 0 : spin_;
}

bool Waiter::Park(const log::Reader& reader, int64_t until) {
  const auto sleep = PrepareSleep(reader);
  if (!sleep) return false;
  const int64_t now = Seam::MonotonicNow();
  if (now >= until) return false;
  const int64_t left = until == std::numeric_limits<int64_t>::max() ? until : until - now;
  const int64_t longest = std::min(left, longest_sleep_);
  const int64_t timeout = longest == std::numeric_limits<int64_t>::max() ? -1 : longest;
  topic_.log().sleep().sleeps().Add(1);
  int result = Seam::FutexWaitAny(*sleep, timeout);
  if (result == -ENOSYS) {
    // Without futex_waitv an interrupt that comes just now is seen when the bound expires.
    const FutexWaiter& word = sleep->front();
    result = Seam::FutexWait(word.word, word.expected, timeout < 0 ? kLastBound : std::min(timeout, kLastBound), true);
  }
  // Committers wake one. Whoever comes back from a sleep passes it on, if the word he slept on is final.
  PassOn(reader);
  return result == 0;
}

absl::Status Waiter::LookAround(log::Reader& reader, int64_t now) {
  bound_ = std::min(bound_ * 2, kLastBound);
  look_at_ = now + Seam::Bound(bound_);
  const Word word = reader.place().Read();
  if (word.state() == format::State::kReserved) LIBBUS_RETURN_IF_ERROR(LookAfterClaim(reader));
  if (word.is_free()) reader.LearnCommitted();
  return reader.Pending() ? topic_.log().CheckStillThere() : absl::OkStatus();
}

absl::Status Waiter::TimedOut(const log::Reader& reader) const {
  const Word word = reader.place().Read();
  if (word.state() != format::State::kReserved) {
    return absl::DeadlineExceededError(
        fmt::format("{}: no record at {} in time", topic_.log().path(), reader.position()));
  }
  return absl::DeadlineExceededError(fmt::format("{}: the record at {} is not committed yet by {}", topic_.log().path(),
                                                 reader.position(), log::DescribeOwner(topic_.log(), word.owner())));
}

}  // namespace libbus::internal
