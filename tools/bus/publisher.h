// Publishes what an input holds, piece by piece: paced, in batches, made durable as asked.
#ifndef LIBBUS_TOOLS_BUS_PUBLISHER_H_
#define LIBBUS_TOOLS_BUS_PUBLISHER_H_

#include <absl/status/status.h>
#include <absl/time/clock.h>
#include <libbus/bus.h>
#include <simdjson.h>

#include <algorithm>
#include <ctime>
#include <functional>
#include <optional>
#include <string_view>

#include "tools/bus/input.h"
#include "tools/bus/record_parser.h"

namespace bustool {

// What a record is.
enum class Form : uint8_t { kLines, kNdjson, kRecords, kFrames, kFile };

// What was published so far.
struct Published {
  uint64_t records = 0;
  std::optional<libbus::Position> first;
  libbus::Position last;    // of the last record; with --batch of the first one of the last batch
  uint64_t last_batch = 0;  // how many that batch holds
  bool durable = true;      // all of them; with --sync
  uint64_t gaps = 0;        // told by the input, nothing to be published
};

// Keeps to so many records a second by waiting before each.
class Pace {
 public:
  explicit Pace(double per_second) : gap_(per_second > 0 ? absl::Seconds(1) / per_second : absl::ZeroDuration()) {}

  // How long Wait() would wait now.
  absl::Duration Left() const {
    return gap_ == absl::ZeroDuration() ? gap_ : std::max(next_ + gap_ - absl::Now(), absl::ZeroDuration());
  }

  void Wait() {
    if (gap_ == absl::ZeroDuration()) return;
    // Who was late does not catch up: that would be faster than what was asked for.
    next_ = std::max(next_ + gap_, absl::Now());
    // A signal ends the sleep: whoever called looks for it.
    const timespec left = absl::ToTimespec(std::max(next_ - absl::Now(), absl::ZeroDuration()));
    ::nanosleep(&left, nullptr);
  }

 private:
  absl::Duration gap_;
  absl::Time next_ = absl::InfinitePast();
};

// Makes durable what was published: together, not one by one. That is before every wait for more, at the end, and
// now and then in between.
class Syncs {
 public:
  Syncs(libbus::Topic* topic, absl::Duration interval) : topic_(topic), interval_(interval), last_(absl::Now()) {}

  absl::Status IfDue() { return absl::Now() - last_ < interval_ ? absl::OkStatus() : Now(); }
  absl::Status Now() {
    absl::Status status = topic_->Sync();
    last_ = absl::Now();
    return status;
  }

 private:
  libbus::Topic* topic_;
  absl::Duration interval_;
  absl::Time last_;
};

class Publisher {
 public:
  // `record`: what each record has beside its payload (kRecords: each line says that itself).
  // `syncs`: none unless asked for.
  // `batch`: how many records go together; 0: each alone.
  Publisher(Form form, libbus::Producer producer, libbus::RecordOptions record, double rate, std::optional<Syncs> syncs,
            uint64_t batch)
      : form_(form),
        producer_(std::move(producer)),
        record_(record),
        pace_(rate),
        syncs_(syncs),
        batch_limit_(batch),
        batch_(producer_.NewBatch()) {}

  // Called after each piece.
  void AfterEach(std::function<void(const Input& input)> action) { after_each_ = std::move(action); }
  absl::Status PublishAll(Input& input);
  // REQUIRES: syncs were given.
  absl::Status SyncNow() {
    absl::Status status = syncs_->Now();
    published_.durable = status.ok();
    return status;
  }
  // Publishes what waits in the batch. On error it is dropped.
  absl::Status Flush();
  const Published& published() const { return published_; }

 private:
  using Record = RecordParser::Record;

  absl::StatusOr<bool> NextPiece(Input& input, std::string_view& piece);
  // The next record; none: it was a gap.
  absl::StatusOr<std::optional<Record>> Read(const Input& input, std::string_view piece);
  absl::Status CheckJson(const Input& input, std::string_view piece);
  absl::Status Publish(const Input& input, const Record& record);
  absl::Status PublishOne(const Input& input, const Record& record);
  absl::Status AddToBatch(const Input& input, const Record& record);
  absl::Status BeforeWait();
  void Count(libbus::Position position, uint64_t records);

  const Form form_;
  libbus::Producer producer_;
  libbus::RecordOptions record_;
  Pace pace_;
  std::optional<Syncs> syncs_;
  const uint64_t batch_limit_;
  libbus::Batch batch_;
  absl::Time held_since_;  // of the first record in the batch
  simdjson::dom::parser parser_;
  RecordParser records_;
  std::function<void(const Input&)> after_each_;
  Published published_;
};

}  // namespace bustool

#endif  // LIBBUS_TOOLS_BUS_PUBLISHER_H_
