// What the processes of a walk know of each other: which records they were told are there, and what they found.
#ifndef LIBBUS_TESTS_CRASH_STEP_WORLD_H_
#define LIBBUS_TESTS_CRASH_STEP_WORLD_H_

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "libbus/bus.h"
#include "tests/crash/stepper.h"
#include "tests/seam/seam.h"
#include "tests/support/processes.h"
#include "tests/support/scratch.h"

namespace libbus::steps {

using platform::seam_control;

inline constexpr uint32_t kLines = 600;

// Begun: it may be there, whole, or not.
enum class Fate : uint8_t { kNone, kBegun, kAcknowledged, kAbandoned };

// One record; its number is its type in the log.
struct Line {
  std::atomic<Fate> fate{Fate::kNone};
  std::atomic<uint64_t> position{0};  // told at the acknowledgement; of a batch that of the batch
  uint32_t size = 0;
  uint32_t batch = 0;  // the number of its first record; 0: alone
  uint32_t lane = 0;   // who published it: in this order
};

// In memory that all processes of a round share.
struct Book : test::Walker {
  std::atomic<uint32_t> next{1};
  std::array<Line, kLines> lines;

  // Records that were spoiled between two processes: may be gone, if a gap says so.
  std::atomic<uint64_t> spoiled_from{0};
  std::atomic<uint64_t> spoiled_to{0};
  std::atomic<uint64_t> trimmed_to{0};
  std::atomic<uint64_t> cursor{0};       // committed
  std::atomic<uint64_t> next_cursor{0};  // being committed
  std::atomic<bool> has_cursor{false};

  // What was found.
  std::atomic<uint64_t> records{0};
  std::atomic<uint64_t> lost{0};
  std::atomic<uint64_t> phantom{0};
  std::atomic<uint64_t> stuck{0};
  std::atomic<uint64_t> silent{0};
  std::atomic<uint64_t> failed{0};
  std::atomic<int64_t> slowest{0};  // ns
  std::array<std::atomic<uint64_t>, 2> digests{};

  uint64_t wrong() const { return lost + phantom + stuck + silent + failed; }
};

inline std::string TextOf(uint32_t number, size_t size) {
  std::string text(size, '\0');
  for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>(number * 131 + i * 7 + i / 251);
  return text;
}

inline void Complain(std::atomic<uint64_t>& count, const std::string& what) {
  ++count;
  fmt::print(stderr, "process {}: {}\n", getpid(), what);
}

// --- reading -------------------------------------------------------------------------------------------------------

struct Item {
  bool gap;
  Gap what;  // of a gap
  uint32_t number;
  Position position;
  Position next;
  std::string payload;
};

inline Item ItemOf(const RecordView& record) {
  const bool gap = record.kind() == RecordKind::kGap;
  return {gap,
          gap ? record.gap() : Gap(),
          gap ? 0 : record.type(),
          record.position(),
          record.next_position(),
          gap ? std::string() : std::string(record.text())};
}

inline absl::Status ReadAll(Topic& topic, std::vector<Item>& items) {
  auto consumer = topic.NewConsumer({.to = From::End(), .wait = Wait::kPark, .gaps = Gaps::kAll});
  if (!consumer.ok()) return consumer.status();
  for (const RecordView& record : consumer->Records(absl::Seconds(20))) items.push_back(ItemOf(record));
  return consumer->status().code() == absl::StatusCode::kOutOfRange ? absl::OkStatus() : consumer->status();
}

inline uint64_t DigestOf(const std::vector<Item>& items) {
  uint64_t digest = 1;
  const auto add = [&](uint64_t value) { digest = (digest ^ value) * 0x9e3779b97f4a7c15u + (digest >> 29); };
  for (const Item& item : items) {
    add(item.gap ? 1 + static_cast<uint64_t>(item.what.cause) : 0);
    add(item.number);
    add(item.position.offset);
    add(item.next.offset);
    add(std::hash<std::string>()(item.payload));
  }
  return digest;
}

// --- the verdict ---------------------------------------------------------------------------------------------------

// Compares what one reader read from the start with the book.
class Verdict {
 public:
  Verdict(const std::vector<Item>& items, Book& book) : items_(items), book_(book) {}

  // `complete`: up to the end, by somebody who may repair.
  void Give(bool complete) {
    for (const Item& item : items_) {
      if (item.gap) {
        SeeGap(item);
      } else {
        SeeRecord(item);
      }
    }
    CheckBatches();
    if (complete) CheckMissing();
    book_.records += seen_.size();
  }

 private:
  bool Spoiled(uint64_t position) const { return position >= book_.spoiled_from && position < book_.spoiled_to; }

  void SeeGap(const Item& item) {
    if (!item.what.loss()) return;
    const bool expected = book_.spoiled_to != 0 || (item.what.cause == GapCause::kEvicted && book_.trimmed_to != 0);
    if (expected) return;
    Complain(book_.lost, fmt::format("a gap ({}) from {} to {}", GapCauseName(item.what.cause), item.what.from.offset,
                                     item.what.to.offset));
  }

  void SeeRecord(const Item& item) {
    const auto wrong = [&](const char* what) {
      Complain(book_.phantom, fmt::format("record {} at {}: {}", item.number, item.position.offset, what));
    };
    if (item.number == 0 || item.number >= book_.next) return wrong("nobody began it");
    const Line& line = book_.lines[item.number];
    if (line.fate == Fate::kAbandoned) return wrong("it was abandoned");
    if (item.payload != TextOf(item.number, line.size)) return wrong("wrong bytes");
    if (!seen_.emplace(item.number, item.position.offset).second) return wrong("it is there twice");
    if (item.number <= last_[line.lane]) return wrong("not in order");
    last_[line.lane] = item.number;
    const uint64_t told = line.position;
    if (line.fate == Fate::kAcknowledged && line.batch == 0 && told != item.position.offset) {
      wrong("another position than was told");
    }
  }

  void CheckBatches() {
    std::map<uint32_t, std::array<uint32_t, 2>> batches;
    for (uint32_t n = 1; n < book_.next; ++n) {
      if (book_.lines[n].batch != 0) ++batches[book_.lines[n].batch][seen_.count(n)];
    }
    for (const auto& [first, counts] : batches) {
      if (counts[0] == 0 || counts[1] == 0 || book_.spoiled_to != 0) continue;
      Complain(book_.phantom, fmt::format("batch {}: {} of it are there, {} are not", first, counts[1], counts[0]));
    }
  }

  void CheckMissing() {
    for (uint32_t n = 1; n < book_.next; ++n) {
      const Line& line = book_.lines[n];
      if (line.fate != Fate::kAcknowledged || seen_.count(n) != 0) continue;
      const uint64_t position = line.position;
      const bool in_front = items_.empty() || position < items_[0].position.offset;
      if (position < book_.trimmed_to && (in_front || Told(line))) continue;
      if (!Spoiled(position)) {
        Complain(book_.lost, fmt::format("record {} at {} is lost", n, position));
      } else if (!Told(line)) {
        Complain(book_.silent, fmt::format("record {} at {} is gone and no gap says so", n, position));
      }
    }
  }

  // A gap stands there; of a batch: in it.
  bool Told(const Line& line) const {
    const uint64_t from = line.position;
    const uint64_t to = from + (line.batch == 0 ? 1 : 4 * (line.size + 64));
    for (const Item& item : items_) {
      if (item.gap && item.what.loss() && item.what.from.offset < to && from < item.what.to.offset) return true;
    }
    return false;
  }

  const std::vector<Item>& items_;
  Book& book_;
  std::map<uint32_t, uint64_t> seen_;
  std::map<uint32_t, uint32_t> last_;  // by lane
};

// --- one round -----------------------------------------------------------------------------------------------------

// How the topic is made.
struct Scene {
  uint64_t segment_size = 4096;
  bool exclusive = false;
  // Unset: what a topic has by default. Zero: whoever waits for more than the dead owner's lock waits for ever.
  std::optional<absl::Duration> claim_timeout = absl::ZeroDuration();
};

// A record that is to be published.
struct Draft {
  uint32_t number;
  std::string text;
  RecordOptions options() const { return {.type = number, .durable = durable}; }
  bool durable = false;
};

class World {
 public:
  World(const std::string& parent, Scene scene) : scratch_(parent), bus_(scratch_ / "bus"), scene_(scene) {}

  Book& book() { return *book_; }
  const std::string& bus() const { return bus_; }
  std::string File(const std::string& name) const { return bus_ + "/t/" + name; }
  const Scene& scene() const { return scene_; }

  absl::StatusOr<Topic> Open(bool read_only = false) const {
    auto bus = Bus::Open(bus_, {.create = !read_only, .read_only = read_only, .background = false});
    if (!bus.ok()) return bus.status();
    if (read_only) return bus->OpenTopic("t");
    return bus->OpenTopic("t", {.create = true,
                                .segment_size = scene_.segment_size,
                                .claim_timeout = scene_.claim_timeout,
                                .exclusive = scene_.exclusive});
  }

  // Which lane this process writes; each has one of its own.
  uint32_t lane = 0;

  Draft Begin(uint32_t size, uint32_t batch = 0) {
    const uint32_t number = book_->next;
    Line& line = book_->lines.at(number);
    line.size = size;
    line.batch = batch;
    line.lane = lane;
    line.fate = Fate::kBegun;
    ++book_->next;
    return {number, TextOf(number, size)};
  }
  absl::Status Settle(uint32_t number, const absl::StatusOr<Position>& position) {
    if (!position.ok()) return position.status();
    book_->lines[number].position = position->offset;
    book_->lines[number].fate = Fate::kAcknowledged;
    return absl::OkStatus();
  }
  absl::Status Publish(Producer& producer, const Draft& draft) {
    return Settle(draft.number, producer.Publish(draft.text, draft.options()));
  }
  absl::Status Publish(Producer& producer, uint32_t size) { return Publish(producer, Begin(size)); }

  // Where what is walked begins and ends. In a process that nobody walks it stops before the change of shared bytes
  // with the number `stop_at`, or at the end.
  bool walked = false;
  uint64_t stop_at = 0;
  void Start() {
    if (walked) return test::Walker::Start();
    seam_control.points = 0;
    seam_control.stop_at = stop_at;
  }
  int End() {
    if (walked) book_->End();
    for (;;) raise(SIGSTOP);
  }

 private:
  const test::Scratch scratch_;
  const std::string bus_;
  const Scene scene_;
  test::Shared<Book> book_;
};

inline int64_t Now() { return platform::RealSeam::MonotonicNow(); }

}  // namespace libbus::steps

#endif  // LIBBUS_TESTS_CRASH_STEP_WORLD_H_
