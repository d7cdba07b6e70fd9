// ZeroMQ over ipc: a PULL socket for each consumer, a PUSH socket from each producer to each of them. The address is in
// the abstract name space, so that it leaves nothing behind and no path is too long. Contexts are made after the fork,
// as the library demands.
#include <fmt/format.h>
#include <unistd.h>
#include <zmq.h>

#include <string>
#include <vector>

#include "bench/lib/loops.h"
#include "bench/peers/peers.h"
#include "bench/peers/settings.h"

namespace libbus::bench {
namespace {

absl::Status Failed(const char* call) {
  return absl::UnavailableError(fmt::format("{}: {}", call, zmq_strerror(errno)));
}

class Context {
 public:
  Context() : context_(zmq_ctx_new()) { zmq_ctx_set(context_, ZMQ_IO_THREADS, settings::kZeroMqIoThreads); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  // Waits until what was sent has left.
  ~Context() {
    for (void* socket : sockets_) zmq_close(socket);
    zmq_ctx_term(context_);
  }

  // A socket with the settings of all; null: errno.
  void* NewSocket(int type, size_t size) {
    void* socket = zmq_socket(context_, type);
    if (socket == nullptr) return nullptr;
    sockets_.push_back(socket);
    const int high_water = settings::ZeroMqHighWater(size);
    zmq_setsockopt(socket, ZMQ_SNDHWM, &high_water, sizeof(high_water));
    zmq_setsockopt(socket, ZMQ_RCVHWM, &high_water, sizeof(high_water));
    const int reconnect_ms = 1;
    zmq_setsockopt(socket, ZMQ_RECONNECT_IVL, &reconnect_ms, sizeof(reconnect_ms));
    return socket;
  }

 private:
  void* context_;
  std::vector<void*> sockets_;
};

class ZeroMqWriter {
 public:
  explicit ZeroMqWriter(std::vector<void*> sockets) : sockets_(std::move(sockets)) {}

  absl::Status Write(std::span<const std::byte> bytes) {
    for (void* socket : sockets_) {
      if (zmq_send(socket, bytes.data(), bytes.size(), 0) < 0) return Failed("zmq_send");
    }
    return absl::OkStatus();
  }

 private:
  std::vector<void*> sockets_;
};

class ZeroMqReader {
 public:
  ZeroMqReader(void* socket, Wait wait) : socket_(socket), wait_(wait) { zmq_msg_init(&message_); }
  ZeroMqReader(const ZeroMqReader&) = delete;
  ZeroMqReader& operator=(const ZeroMqReader&) = delete;
  ~ZeroMqReader() { zmq_msg_close(&message_); }

  absl::StatusOr<std::span<const std::byte>> Next() {
    if (!Receive(wait_ == Wait::kSpin ? ZMQ_DONTWAIT : 0)) SpinUntilReady([this] { return Receive(ZMQ_DONTWAIT); });
    if (got_ < 0) return Failed("zmq_msg_recv");
    return std::span(static_cast<const std::byte*>(zmq_msg_data(&message_)), static_cast<size_t>(got_));
  }

  bool AtEnd() { return !Receive(ZMQ_DONTWAIT); }

 private:
  // True also when it fails for another reason than an empty socket.
  bool Receive(int flags) {
    got_ = zmq_msg_recv(&message_, socket_, flags);
    return got_ >= 0 || (errno != EAGAIN && errno != EINTR);
  }

  void* socket_;
  Wait wait_;
  zmq_msg_t message_;
  int got_ = 0;
};

class ZeroMq : public Contender {
 public:
  std::string_view name() const override { return "zeromq"; }
  Kind kind() const override { return Kind::kPeer; }

  absl::Status Prepare(const Run&) override {
    static int count = 0;
    address_ = fmt::format("ipc://@libbus-bench-{}-{}", getpid(), count++);
    return absl::OkStatus();
  }

  absl::Status Produce(const Run& run, ProducerSide& side) override {
    Context context;
    std::vector<void*> sockets;
    for (uint32_t i = 0; i < run.consumers; ++i) {
      void* socket = context.NewSocket(ZMQ_PUSH, run.size);
      if (socket == nullptr || zmq_connect(socket, AddressOf(i).c_str()) != 0) return Failed("zmq_connect");
      if (zmq_send(socket, "", 0, 0) != 0) return Failed("zmq_send");
      sockets.push_back(socket);
    }
    ZeroMqWriter writer(std::move(sockets));
    return WriteRecords(run, side, writer);
  }

  // The first, empty message of each producer says that it is connected.
  absl::Status Consume(const Run& run, ConsumerSide& side) override {
    Context context;
    void* socket = context.NewSocket(ZMQ_PULL, run.size);
    if (socket == nullptr || zmq_bind(socket, AddressOf(side.index).c_str()) != 0) return Failed("zmq_bind");
    for (uint32_t i = 0; i < run.producers; ++i) {
      if (zmq_recv(socket, nullptr, 0, 0) != 0) return Failed("zmq_recv");
    }
    ZeroMqReader reader(socket, run.wait);
    return ReadRecords(run, side, reader);
  }

  void Discard() override {}

 private:
  std::string AddressOf(uint32_t consumer) const { return fmt::format("{}-{}", address_, consumer); }

  std::string address_;
};

}  // namespace

std::unique_ptr<Contender> MakeZeroMq() { return std::make_unique<ZeroMq>(); }

}  // namespace libbus::bench
