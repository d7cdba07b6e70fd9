// Boost.Interprocess message_queue: one for each consumer, to which every producer sends.
#include <fmt/format.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <boost/interprocess/ipc/message_queue.hpp>
#include <memory>
#include <string>
#include <vector>

#include "bench/lib/loops.h"
#include "bench/peers/peers.h"
#include "bench/peers/settings.h"

namespace libbus::bench {
namespace {

using Queue = boost::interprocess::message_queue;

absl::Status Failed(const std::exception& error) { return absl::UnavailableError(error.what()); }

// Without a name: who is forked later has it mapped.
absl::StatusOr<std::unique_ptr<Queue>> NewQueue(size_t size) {
  static int count = 0;
  const std::string name = fmt::format("libbus-bench-{}-{}", getpid(), count++);
  try {
    auto queue =
        std::make_unique<Queue>(boost::interprocess::create_only, name.c_str(), settings::BoostDepth(size), size);
    Queue::remove(name.c_str());
    return queue;
  } catch (const std::exception& error) {
    Queue::remove(name.c_str());
    return Failed(error);
  }
}

class BoostWriter {
 public:
  explicit BoostWriter(const std::vector<std::unique_ptr<Queue>>& queues) : queues_(queues) {}

  absl::Status Write(std::span<const std::byte> bytes) {
    try {
      for (const auto& queue : queues_) queue->send(bytes.data(), bytes.size(), 0);
      return absl::OkStatus();
    } catch (const std::exception& error) {
      return Failed(error);
    }
  }

 private:
  const std::vector<std::unique_ptr<Queue>>& queues_;
};

class BoostReader {
 public:
  BoostReader(Queue* queue, const Run& run) : queue_(queue), wait_(run.wait), buffer_(run.size) {}

  absl::StatusOr<std::span<const std::byte>> Next() {
    try {
      if (wait_ == Wait::kPark) {
        queue_->receive(buffer_.data(), buffer_.size(), got_, priority_);
      } else if (!Receive()) {
        SpinUntilReady([this] { return Receive(); });
      }
      return std::span<const std::byte>(buffer_.data(), got_);
    } catch (const std::exception& error) {
      return Failed(error);
    }
  }

  bool AtEnd() { return queue_->get_num_msg() == 0; }

 private:
  bool Receive() { return queue_->try_receive(buffer_.data(), buffer_.size(), got_, priority_); }

  Queue* queue_;
  Wait wait_;
  std::vector<std::byte> buffer_;
  Queue::size_type got_ = 0;
  unsigned priority_ = 0;
};

class BoostQueue : public Contender {
 public:
  std::string_view name() const override { return "boost_queue"; }
  Kind kind() const override { return Kind::kPeer; }

  // A queue that meets a full file system is a SIGBUS.
  std::string Refusal(const Run& run) const override {
    struct statvfs stat {};
    const uint64_t needed = run.consumers * settings::BoostDepth(run.size) * (run.size + 64) * 2;
    if (statvfs("/dev/shm", &stat) != 0) return "no /dev/shm";
    if (stat.f_bavail * stat.f_frsize >= needed) return {};
    return fmt::format("needs {} MiB in /dev/shm", needed >> 20);
  }

  absl::Status Prepare(const Run& run) override {
    for (uint32_t i = 0; i < run.consumers; ++i) {
      auto queue = NewQueue(run.size);
      if (!queue.ok()) return queue.status();
      queues_.push_back(*std::move(queue));
    }
    return absl::OkStatus();
  }

  absl::Status Produce(const Run& run, ProducerSide& side) override {
    BoostWriter writer(queues_);
    return WriteRecords(run, side, writer);
  }

  absl::Status Consume(const Run& run, ConsumerSide& side) override {
    BoostReader reader(queues_[side.index].get(), run);
    return ReadRecords(run, side, reader);
  }

  void Discard() override { queues_.clear(); }

 private:
  std::vector<std::unique_ptr<Queue>> queues_;
};

}  // namespace

std::unique_ptr<Contender> MakeBoostQueue() { return std::make_unique<BoostQueue>(); }

}  // namespace libbus::bench
