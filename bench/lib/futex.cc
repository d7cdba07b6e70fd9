// The bare futex wake: one slot, a wake by system call for each record, a sleep by system call for each. What no parked
// consumer can be faster than.
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <new>

#include "bench/lib/contender.h"
#include "bench/lib/loops.h"

namespace libbus::bench {
namespace {

struct Slot {
  alignas(64) std::atomic<uint32_t> written{0};
  alignas(64) std::atomic<uint32_t> read{0};

  std::byte* payload() { return reinterpret_cast<std::byte*>(this + 1); }
};

void Futex(std::atomic<uint32_t>& word, int operation, uint32_t value) {
  syscall(SYS_futex, &word, operation, value, nullptr, nullptr, 0);
}

class FutexContender : public Contender {
 public:
  std::string_view name() const override { return "futex_wake"; }

  std::string Refusal(const Run& run) const override {
    if (run.wait == Wait::kPark && run.paced() && run.producers == 1 && run.consumers == 1) return {};
    return "for one parked consumer's delays only";
  }

  absl::Status Prepare(const Run& run) override {
    auto memory = Mapping::Anonymous(sizeof(Slot) + run.size);
    if (!memory.ok()) return memory.status();
    memory_ = *std::move(memory);
    new (memory_.data()) Slot;
    return memory_.PopulateForWriting();
  }

  absl::Status Produce(const Run& run, ProducerSide& side) override {
    struct Writer {
      Slot& slot;
      uint32_t sequence = 0;
      absl::Status Write(std::span<const std::byte> bytes) {
        while (slot.read.load(std::memory_order_acquire) != sequence) platform::Relax();
        std::memcpy(slot.payload(), bytes.data(), bytes.size());
        slot.written.store(++sequence, std::memory_order_release);
        Futex(slot.written, FUTEX_WAKE, 1);
        return absl::OkStatus();
      }
    } writer{slot()};
    return WriteRecords(run, side, writer);
  }

  absl::Status Consume(const Run& run, ConsumerSide& side) override {
    struct Reader {
      Slot& slot;
      size_t size;
      uint32_t sequence = 0;
      absl::StatusOr<std::span<const std::byte>> Next() {
        slot.read.store(sequence, std::memory_order_release);
        while (AtEnd()) Futex(slot.written, FUTEX_WAIT, sequence);
        ++sequence;
        return std::span<const std::byte>(slot.payload(), size);
      }
      bool AtEnd() const { return slot.written.load(std::memory_order_acquire) == sequence; }
    } reader{slot(), run.size};
    return ReadRecords(run, side, reader);
  }

  void Discard() override { memory_ = Mapping(); }

 private:
  Slot& slot() { return *reinterpret_cast<Slot*>(memory_.data()); }

  Mapping memory_;
};

}  // namespace

std::unique_ptr<Contender> MakeFutex() { return std::make_unique<FutexContender>(); }

}  // namespace libbus::bench
