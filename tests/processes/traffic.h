// Traffic between real processes, and its bookkeeping: who was told what, in memory that outlives every process.
#ifndef LIBBUS_TESTS_PROCESSES_TRAFFIC_H_
#define LIBBUS_TESTS_PROCESSES_TRAFFIC_H_

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "libbus/bus.h"
#include "tests/support/processes.h"

namespace libbus::test {

inline constexpr char kTopic[] = "t";
inline constexpr uint32_t kLanes = 10;
inline constexpr uint64_t kNumbers = uint64_t{1} << 18;
// The lane of the record that tells every consumer that nothing more will come.
inline constexpr uint32_t kLastLane = kLanes - 1;

// What a producer knows of one record. Begun: it may be there or not.
enum class Fate : uint8_t { kNone, kBegun, kAcknowledged, kAbandoned, kRevoked };

// One line of numbered records. At any time at most one producer publishes in it; when that one dies, the next goes on
// behind the number it had begun.
struct Lane {
  std::atomic<uint64_t> next{0};
  std::atomic<uint64_t> acknowledged{0};  // how many
  std::array<std::atomic<Fate>, kNumbers> fates{};
};

// What one process is doing, for who finds it stuck.
struct Desk {
  std::atomic<const char*> doing{nullptr};  // a literal
  std::atomic<uint64_t> done{0};
  char note[200] = {};  // the last message that it was told
};
inline constexpr uint32_t kDesks = 16;

struct Ledger {
  std::array<Lane, kLanes> lanes;
  std::array<Desk, kDesks> desks;
  std::atomic<bool> stop{false};  // producers end

  uint64_t Acknowledged() const;
  // One line for each desk in use.
  std::string Describe() const;
};

// The text of record `number` of `lane`: who it is and how long it is, then bytes that follow from both.
inline constexpr size_t kLabelSize = 16;
void WriteText(uint32_t lane, uint64_t number, size_t size, std::byte* to);
std::string TextOf(uint32_t lane, uint64_t number, size_t size);
struct Label {
  uint32_t lane;
  uint64_t number;
};
// Nothing if a single byte is wrong.
std::optional<Label> ReadText(Bytes payload);

// What one consumer saw, against the ledger. Errors are sentences; empty: all is well.
class Audit {
 public:
  explicit Audit(const Ledger& ledger);

  // A record or gap in the order of reading.
  std::string See(const RecordView& record);
  // After the last record: nothing acknowledged is missing, nothing abandoned was seen. Only from the start.
  std::string Complete() const;
  uint64_t seen() const { return count_; }
  // The lane of the record seen last; kLanes for a gap.
  uint32_t last_lane() const { return last_lane_; }

 private:
  const Ledger& ledger_;
  std::array<std::vector<bool>, kLanes> seen_;
  std::array<std::optional<uint64_t>, kLanes> last_{};
  uint32_t last_lane_ = kLanes;
  uint64_t count_ = 0;
};

struct TrafficOptions {
  uint64_t segment_size = uint64_t{64} << 10;  // 0: the topic's own
  bool big = false;                            // some records are longer than a segment
  bool exclusive = false;                      // the topic has one producer at a time
  bool claims = false;                         // some are claimed, held, committed shorter, or abandoned
};

// Opens the bus (made if there is none) and the topic. A reader opens it read-only, when it is there.
absl::StatusOr<Topic> OpenForWriting(const std::string& path, const TrafficOptions& options);
absl::StatusOr<Topic> OpenForReading(const std::string& path);

// Publishes the next record of a lane. OK also if it was abandoned on purpose, or revoked.
absl::Status PublishNext(Producer& producer, Ledger& ledger, uint32_t lane, const TrafficOptions& options,
                         std::mt19937_64& random);

// Reads with `consumer` until the last lane's record, auditing. 0, or 1 with the reason on stderr.
int Follow(Consumer& consumer, const Ledger& ledger, Desk& desk, bool from_start);

// Bodies of processes. 0, or a code with the reason on stderr.
int ProducerMain(const std::string& path, Ledger& ledger, uint32_t lane, uint32_t desk, const TrafficOptions& options,
                 uint64_t seed, uint64_t count);
int ConsumerMain(const std::string& path, Ledger& ledger, uint32_t desk, bool read_only, ConsumerOptions options);
// Publishes the last lane's record.
int CloserMain(const std::string& path, Ledger& ledger, const TrafficOptions& options);
// Reads everything from the start to the end as it is now. 0 if it agrees with the ledger.
int AuditorMain(const std::string& path, const Ledger& ledger);

// Seed(), and nothing of it is left in a buffer that children would print again.
uint64_t FlushedSeed(const char* test);

int Complain(std::string_view who, std::string_view what);

// Polls until `done`. False after `seconds` without.
bool WaitUntil(const std::function<bool()>& done, int seconds = 30);
// True once the process has ended; it still has to be reaped.
bool HasEnded(const Child& child);
// True if the kernel has put the process to sleep.
bool IsAsleep(const Child& child);
// Waits as long as `progress` rises now and then; a child that hangs is killed. Its code, or -1000 if it hung, with
// `ledger` on stderr.
int JoinWhileMoving(Child& child, const std::function<uint64_t()>& progress,
                    const std::function<std::string()>& describe, int seconds = 30);
int JoinWhileMoving(Child& child, const Ledger& ledger);

// tmpfs where there is one, else the usual place for temporary files.
std::string FastParent();
std::string UsualParent();

}  // namespace libbus::test

#endif  // LIBBUS_TESTS_PROCESSES_TRAFFIC_H_
