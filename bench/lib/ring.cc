// The plain ring: what can be had without keeping anything. Slots of one size, each published by a word of its own;
// one ring for each producer, read by every consumer; a producer waits for the slowest. No order across producers, no
// file, no checksum, nothing survives.
#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <limits>
#include <new>
#include <vector>

#include "bench/lib/contender.h"
#include "bench/lib/loops.h"

namespace libbus::bench {
namespace {

// Of all rings together. Large on purpose: in a small one every line travels back and forth between two cores, and
// whoever loses its core for a moment soon stops the other.
constexpr size_t kRingBytes = 32 << 20;
constexpr size_t kMinSlots = 16;

struct alignas(64) ReadIndex {
  std::atomic<uint64_t> value{0};
};

// Where everything lies: the bell, then for each producer the read indices of all consumers, then its slots.
struct Geometry {
  explicit Geometry(const Run& run)
      : consumers(run.consumers),
        slot_bytes((sizeof(uint64_t) + run.size + 7) / 8 * 8),
        slots(std::max(kMinSlots, std::bit_floor(kRingBytes / run.producers / slot_bytes))),
        ring_bytes((consumers * sizeof(ReadIndex) + slots * slot_bytes + 63) / 64 * 64) {}

  size_t total(uint32_t producers) const { return sizeof(Bell) + producers * ring_bytes; }

  size_t consumers;
  size_t slot_bytes;
  size_t slots;
  size_t ring_bytes;
};

// One producer's ring in shared memory.
class Ring {
 public:
  Ring(const Geometry& geometry, std::byte* memory, uint32_t producer)
      : geometry_(&geometry),
        indices_(reinterpret_cast<ReadIndex*>(memory + sizeof(Bell) + producer * geometry.ring_bytes)),
        slots_(reinterpret_cast<std::byte*>(indices_ + geometry.consumers)) {}

  std::byte* slot(uint64_t sequence) const {
    return slots_ + (sequence & (geometry_->slots - 1)) * geometry_->slot_bytes;
  }
  std::atomic_ref<uint64_t> word(uint64_t sequence) const {
    return std::atomic_ref<uint64_t>(*reinterpret_cast<uint64_t*>(slot(sequence)));
  }
  std::byte* payload(uint64_t sequence) const { return slot(sequence) + sizeof(uint64_t); }
  size_t slots() const { return geometry_->slots; }
  ReadIndex& index(uint32_t consumer) const { return indices_[consumer]; }

  uint64_t SlowestIndex() const {
    uint64_t slowest = std::numeric_limits<uint64_t>::max();
    for (size_t i = 0; i < geometry_->consumers; ++i) {
      slowest = std::min(slowest, indices_[i].value.load(std::memory_order_acquire));
    }
    return slowest;
  }

 private:
  const Geometry* geometry_;
  ReadIndex* indices_;
  std::byte* slots_;
};

class RingWriter {
 public:
  RingWriter(Ring ring, Bell* bell, bool park) : ring_(ring), bell_(bell), park_(park) {}

  absl::Status Write(std::span<const std::byte> bytes) {
    if (next_ == room_until_) WaitForRoom();
    std::memcpy(ring_.payload(next_), bytes.data(), bytes.size());
    ring_.word(next_).store(next_ + 1, std::memory_order_release);
    ++next_;
    if (park_) bell_->Ring();
    return absl::OkStatus();
  }

 private:
  void WaitForRoom() {
    const auto has_room = [this] { return (room_until_ = ring_.SlowestIndex() + ring_.slots()) > next_; };
    if (!has_room()) WaitUntilReady(Wait::kSpin, *bell_, has_room);
  }

  Ring ring_;
  Bell* bell_;
  bool park_;
  uint64_t next_ = 0;
  uint64_t room_until_ = 0;
};

class RingReader {
 public:
  RingReader(std::vector<Ring> rings, uint32_t index, Bell* bell, const Run& run)
      : rings_(std::move(rings)), index_(index), bell_(bell), run_(&run), next_(rings_.size(), 0) {}

  absl::StatusOr<std::span<const std::byte>> Next() {
    GiveBack();
    if (!FindNext()) WaitUntilReady(run_->wait, *bell_, [this] { return FindNext(); });
    holds_ = true;
    return std::span<const std::byte>(rings_[current_].payload(next_[current_]), run_->size);
  }

  bool AtEnd() {
    GiveBack();
    return !FindNext();
  }

 private:
  // Tells the producer only now and then, so that the line of the index does not travel with every record.
  void GiveBack() {
    if (!holds_) return;
    holds_ = false;
    const Ring& ring = rings_[current_];
    if (++next_[current_] % (ring.slots() / 8) == 0) {
      ring.index(index_).value.store(next_[current_], std::memory_order_release);
    }
  }

  // In turn, beginning with the ring that had the last record.
  bool FindNext() {
    for (size_t i = 0; i < rings_.size(); ++i) {
      if (Published(current_)) return true;
      current_ = current_ + 1 < rings_.size() ? current_ + 1 : 0;
    }
    return false;
  }

  bool Published(size_t ring) const {
    return rings_[ring].word(next_[ring]).load(std::memory_order_acquire) == next_[ring] + 1;
  }

  std::vector<Ring> rings_;
  uint32_t index_;
  Bell* bell_;
  const Run* run_;
  std::vector<uint64_t> next_;
  size_t current_ = 0;
  bool holds_ = false;
};

class RingContender : public Contender {
 public:
  std::string_view name() const override { return "ring"; }

  absl::Status Prepare(const Run& run) override {
    auto memory = Mapping::Anonymous(Geometry(run).total(run.producers));
    if (!memory.ok()) return memory.status();
    memory_ = *std::move(memory);
    new (memory_.data()) Bell;
    return memory_.PopulateForWriting();
  }

  absl::Status Produce(const Run& run, ProducerSide& side) override {
    if (auto ready = memory_.PopulateForWriting(); !ready.ok()) return ready;
    const Geometry geometry(run);
    RingWriter writer(Ring(geometry, memory_.data(), side.index), bell(), run.wait == Wait::kPark);
    return WriteRecords(run, side, writer);
  }

  absl::Status Consume(const Run& run, ConsumerSide& side) override {
    if (auto ready = memory_.PopulateForWriting(); !ready.ok()) return ready;
    const Geometry geometry(run);
    std::vector<Ring> rings;
    for (uint32_t i = 0; i < run.producers; ++i) rings.emplace_back(geometry, memory_.data(), i);
    RingReader reader(std::move(rings), side.index, bell(), run);
    return ReadRecords(run, side, reader);
  }

  void Discard() override { memory_ = Mapping(); }

 private:
  Bell* bell() const { return reinterpret_cast<Bell*>(memory_.data()); }

  Mapping memory_;
};

}  // namespace

std::unique_ptr<Contender> MakeRing() { return std::make_unique<RingContender>(); }

}  // namespace libbus::bench
