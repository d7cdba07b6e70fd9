// What a consumer reads: records and gaps, as views into the mapped log or as owned copies.
#ifndef LIBBUS_RECORD_H_
#define LIBBUS_RECORD_H_

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include <cassert>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace libbus {

// Byte offset of a record in its topic's whole history. Rises, and is never used twice. Prints as a decimal.
struct Position {
  uint64_t offset = 0;
  // NOLINTNEXTLINE(modernize-use-nullptr): a slip of clang-tidy 14
  friend auto operator<=>(const Position&, const Position&) = default;
};
std::ostream& operator<<(std::ostream& out, Position position);

using Bytes = std::span<const std::byte>;

// The bytes of a text. The view's owner must outlive the result.
inline Bytes AsBytes(std::string_view text) { return std::as_bytes(std::span(text)); }

// One name and value of a record. Views: who made them owns the bytes.
struct Header {
  std::string_view name;
  std::string_view value;
  friend bool operator==(const Header&, const Header&) = default;
};

enum class RecordKind : uint8_t { kData, kGap };

// Why records are missing between two positions.
enum class GapCause : uint8_t {
  kDead = 1,     // its producer died before it committed; never acknowledged, nothing lost
  kRevoked = 2,  // its producer stalled beyond claim_timeout; never acknowledged, nothing lost
  kAborted = 3,  // its producer abandoned the claim; nothing lost
  kTorn = 4,     // found unfinished where it had to be whole
  kDamage = 64,  // bytes that do not verify; the range is exact, what stood there is not known
  // What recovery sealed off: whatever was committed there and not durable.
  kPowerLoss = 65,   // a power loss, a crash of the kernel or the loss of a mount could not be excluded
  kCopied = 66,      // a copied or restored bus was adopted
  kOtherMount = 67,  // the last writers were killed, and the next one reached the files through another mount
  kSyncFailed = 69,  // a sync had failed, and the log was written anew
  kEvicted = 96,     // deleted, by retention or trim, before it was read
};

// "dead", "revoked", "aborted", "torn", "damage", "power loss", "copied", "other mount", "sync failed", "evicted";
// "unknown" for a cause of a newer version.
std::string_view GapCauseName(GapCause cause);

struct Gap {
  GapCause cause = GapCause::kDamage;
  Position from;                  // first byte missing
  Position to;                    // first byte not missing
  std::optional<uint32_t> owner;  // the producer slot that had claimed it, where its word survived

  // True if a committed record may have stood here. So are causes that this version does not know. Not so kOtherMount:
  // the kernel has not stopped in between, and mounts differ for many harmless reasons.
  bool loss() const {
    return cause != GapCause::kDead && cause != GapCause::kRevoked && cause != GapCause::kAborted &&
           cause != GapCause::kOtherMount;
  }
  friend bool operator==(const Gap&, const Gap&) = default;
};

// A copy that owns its bytes; made by RecordView::ToOwned().
struct OwnedRecord {
  RecordKind kind = RecordKind::kData;
  std::string payload;
  std::string key;
  std::vector<std::pair<std::string, std::string>> headers;
  uint32_t type = 0;
  absl::Time timestamp;
  Position position;
  Position next_position;
  std::optional<uint64_t> sequence;
  std::optional<Position> source;
  std::string producer;
  uint64_t producer_sequence = 0;
  Gap gap;
};

namespace log {
struct Item;
}

namespace internal {
// Who has one may make views: consumers.
class ViewKey {
 private:
  friend class ConsumerImpl;
  ViewKey() {}
};

// Counts the calls of one consumer after which older views are stale. Cells are never freed, so that a view may ask
// at any time; they are reused by later consumers, and only ever rise.
struct ViewEpoch {
  uint64_t value = 0;
};
}  // namespace internal

// A record as it stands in the log: nothing is copied. Valid until its consumer's next Next(), Poll() or Seek(), or the
// consumer's end; a later use is an assertion failure where NDEBUG is not set. Copying the view copies no bytes.
// A payload is what its producer wrote: the checksum was right when the view was made, but a hostile process that may
// write the log can change the bytes later. Use ToOwned() where that matters.
class RecordView {
 public:
  // For consumers. Field by field into its final place: a view that is made and then copied stalls on its own stores.
  RecordView(internal::ViewKey, const log::Item& item, std::optional<uint64_t> sequence,
             const internal::ViewEpoch* epoch);

  RecordKind kind() const { return Check(), kind_; }
  // kData: the payload; aligned to 8 bytes. kGap: empty.
  Bytes payload() const { return Check(), Bytes(payload_, payload_size_); }
  // The payload as text.
  std::string_view text() const {
    return Check(), std::string_view(reinterpret_cast<const char*>(payload_), payload_size_);
  }
  // The key, or empty.
  std::string_view key() const;
  // Names and values in the order in which they were published. Decoded at each call.
  std::vector<Header> headers() const;
  uint32_t type() const { return Check(), type_; }
  // When the record was published, by its producer's clock: not monotone across producers.
  // absl::UnixEpoch() where the topic stores none.
  absl::Time timestamp() const { return Check(), absl::FromUnixNanos(timestamp_); }
  int64_t timestamp_nanos() const { return Check(), timestamp_; }
  Position position() const { return Check(), position_; }
  // Where the record after this one starts.
  Position next_position() const { return Check(), next_position_; }
  // The ordinal of the record in its topic, where the consumer knows it: where the index does, or
  // counting from the oldest record is short enough, and no damage was met since.
  std::optional<uint64_t> sequence() const { return Check(), has_sequence_ ? std::optional(sequence_) : std::nullopt; }
  // RecordOptions::source, where the producer gave one.
  std::optional<Position> source() const;
  // RecordOptions::producer and producer_sequence; empty and 0 where the producer gave none.
  std::string_view producer() const;
  uint64_t producer_sequence() const;
  // REQUIRES: kind() == kGap.
  Gap gap() const { return Check(), Gap{cause_, position_, next_position_, owner_}; }
  // A copy that stays valid.
  OwnedRecord ToOwned() const;

 private:
  void Check() const { assert(epoch_->value == made_at_ && "RecordView used after its consumer moved on"); }

  RecordKind kind_;
  GapCause cause_;  // kGap
  bool has_sequence_;
  uint32_t type_;
  std::optional<uint32_t> owner_;  // kGap
  const std::byte* payload_;
  size_t payload_size_;
  const std::byte* attributes_;
  size_t attributes_size_;
  int64_t timestamp_;
  Position position_;
  Position next_position_;
  uint64_t sequence_;
  const internal::ViewEpoch* epoch_;
  uint64_t made_at_;
};

// What Consumer::Poll() returns: zero or more views, all valid as long as one of Next() would be.
using RecordBatch = std::vector<RecordView>;

}  // namespace libbus

#endif  // LIBBUS_RECORD_H_
