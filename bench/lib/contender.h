// What is compared: ways to bring records from producer processes to consumer processes. Every consumer gets every
// record.
#ifndef LIBBUS_BENCH_CONTENDER_H_
#define LIBBUS_BENCH_CONTENDER_H_

#include <absl/status/status.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bench/lib/sides.h"
#include "libbus/options.h"

namespace libbus::bench {

// From this size on every record is stamped.
inline constexpr size_t kStampEachFrom = 4096;

// One run of one contender. The same for all contenders of a round.
struct Run {
  size_t size = 64;          // bytes of a record
  uint32_t producers = 1;    // processes
  uint32_t consumers = 1;    // processes
  Wait wait = Wait::kSpin;   // kSpin or kPark
  bool exclusive = false;    // the topic of what is measured
  uint64_t records = 0;      // of each producer
  uint64_t interval_ns = 0;  // between two records of all producers together; 0: as fast as it goes
  std::string directory;     // empty at first, removed afterwards

  bool paced() const { return interval_ns > 0; }
  // Every so manyth record of a producer has a stamp: every one where it has a time at which it is due, and where
  // reading the clock is nothing beside it.
  uint32_t stamp_every() const { return paced() || size >= kStampEachFrom ? 1 : 32; }
  // How many a consumer reads.
  uint64_t stamped() const { return producers * ((records + stamp_every() - 1) / stamp_every()); }
  uint64_t total() const { return records * producers; }
};

// The subject is what is measured (libbus in one mode or the other), a reference a limit of the machine, a peer what a
// user would take instead.
enum class Kind : uint8_t { kSubject, kReference, kPeer };

class Contender {
 public:
  virtual ~Contender() = default;

  virtual std::string_view name() const = 0;
  virtual Kind kind() const { return Kind::kReference; }

  // Why it cannot do such a run, in a few words. Empty: it can.
  virtual std::string Refusal(const Run&) const { return {}; }

  // In the parent, before the processes of the run start; they inherit what is mapped.
  virtual absl::Status Prepare(const Run& run) = 0;

  // In a process of its own: get ready, arrive at side.start, then write run.records records.
  virtual absl::Status Produce(const Run& run, ProducerSide& side) = 0;

  // In a process of its own: get ready, arrive at side.start, then read and verify run.total() records.
  virtual absl::Status Consume(const Run& run, ConsumerSide& side) = 0;

  // In the parent, after the run, whether it succeeded or not.
  virtual void Discard() = 0;
};

// libbus itself: Publish and Next, in the topic that the run asks for; or always in a shared one, as a reference.
std::unique_ptr<Contender> MakeLibbus();
std::unique_ptr<Contender> MakeShared();

// A plain ring in shared memory, one for each producer.
std::unique_ptr<Contender> MakeRing();

// Records appended to one file of prepared pages, with or without checksum.
std::unique_ptr<Contender> MakeJournal();
std::unique_ptr<Contender> MakeCheckedJournal();

// One slot and a wake by system call for each record: delays of one parked consumer only.
std::unique_ptr<Contender> MakeFutex();

// libbus first, then the references. `exclusive`: a shared topic is one of them.
std::vector<std::unique_ptr<Contender>> AllContenders(bool exclusive);

}  // namespace libbus::bench

#endif  // LIBBUS_BENCH_CONTENDER_H_
