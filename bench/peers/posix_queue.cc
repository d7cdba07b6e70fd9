// POSIX message queues: one for each consumer, to which every producer sends.
#include <fcntl.h>
#include <fmt/format.h>
#include <mqueue.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "bench/lib/loops.h"
#include "bench/peers/peers.h"
#include "bench/peers/settings.h"

namespace libbus::bench {
namespace {

absl::Status Failed(const char* call) {
  return absl::UnavailableError(fmt::format("{}: {}", call, std::strerror(errno)));
}

long Limit(const char* name) {
  std::ifstream file(std::string("/proc/sys/fs/mqueue/") + name);
  long value = 0;
  file >> value;
  return value;
}

// A queue without a name, open twice: its readers may not wait where its writers do.
struct Queue {
  mqd_t in = -1;
  mqd_t out = -1;
};

mqd_t OpenNew(const std::string& name, long depth, size_t size) {
  mq_attr attributes{};
  attributes.mq_maxmsg = depth;
  attributes.mq_msgsize = static_cast<long>(size);
  return mq_open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600, &attributes);
}

absl::StatusOr<Queue> NewQueue(size_t size, Wait wait) {
  static int count = 0;
  const std::string name = fmt::format("/libbus-bench-{}-{}", getpid(), count++);
  Queue queue;
  queue.in = OpenNew(name, settings::kQueueDepth, size);
  if (queue.in < 0) queue.in = OpenNew(name, Limit("msg_max"), size);
  if (queue.in < 0) return Failed("mq_open");
  queue.out = mq_open(name.c_str(), O_RDONLY | O_CLOEXEC | (wait == Wait::kSpin ? O_NONBLOCK : 0));
  const int error = errno;
  mq_unlink(name.c_str());
  if (queue.out >= 0) return queue;
  mq_close(queue.in);
  errno = error;
  return Failed("mq_open");
}

class QueueWriter {
 public:
  explicit QueueWriter(const std::vector<Queue>& queues) : queues_(queues) {}

  absl::Status Write(std::span<const std::byte> bytes) {
    for (const Queue& queue : queues_) {
      while (mq_send(queue.in, reinterpret_cast<const char*>(bytes.data()), bytes.size(), 0) != 0) {
        if (errno != EINTR) return Failed("mq_send");
      }
    }
    return absl::OkStatus();
  }

 private:
  const std::vector<Queue>& queues_;
};

class QueueReader {
 public:
  QueueReader(mqd_t queue, const Run& run) : queue_(queue), wait_(run.wait), buffer_(run.size) {}

  absl::StatusOr<std::span<const std::byte>> Next() {
    if (!Receive()) {
      if (wait_ == Wait::kSpin) SpinUntilReady([this] { return Receive(); });
      while (wait_ == Wait::kPark && !Receive()) {
      }
    }
    if (got_ < 0) return Failed("mq_receive");
    return std::span<const std::byte>(buffer_.data(), static_cast<size_t>(got_));
  }

  bool AtEnd() {
    mq_attr attributes{};
    return mq_getattr(queue_, &attributes) == 0 && attributes.mq_curmsgs == 0;
  }

 private:
  // True also when it fails for another reason than an empty queue.
  bool Receive() {
    got_ = mq_receive(queue_, reinterpret_cast<char*>(buffer_.data()), buffer_.size(), nullptr);
    return got_ >= 0 || (errno != EAGAIN && errno != EINTR);
  }

  mqd_t queue_;
  Wait wait_;
  std::vector<std::byte> buffer_;
  ssize_t got_ = 0;
};

class PosixQueue : public Contender {
 public:
  std::string_view name() const override { return "posix_queue"; }
  Kind kind() const override { return Kind::kPeer; }

  std::string Refusal(const Run& run) const override {
    const long most = Limit("msgsize_max");
    if (static_cast<long>(run.size) <= most) return {};
    return fmt::format("a message has at most {} bytes (/proc/sys/fs/mqueue/msgsize_max)", most);
  }

  absl::Status Prepare(const Run& run) override {
    for (uint32_t i = 0; i < run.consumers; ++i) {
      const auto queue = NewQueue(run.size, run.wait);
      if (!queue.ok()) return queue.status();
      queues_.push_back(*queue);
    }
    return absl::OkStatus();
  }

  absl::Status Produce(const Run& run, ProducerSide& side) override {
    QueueWriter writer(queues_);
    return WriteRecords(run, side, writer);
  }

  absl::Status Consume(const Run& run, ConsumerSide& side) override {
    QueueReader reader(queues_[side.index].out, run);
    return ReadRecords(run, side, reader);
  }

  void Discard() override {
    for (const Queue& queue : queues_) {
      mq_close(queue.in);
      mq_close(queue.out);
    }
    queues_.clear();
  }

 private:
  std::vector<Queue> queues_;
};

}  // namespace

std::unique_ptr<Contender> MakePosixQueue() { return std::make_unique<PosixQueue>(); }

}  // namespace libbus::bench
