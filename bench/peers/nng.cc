// nng over ipc: a pull socket for each consumer, a push socket from each producer to each of them, at an address in the
// abstract name space. The library is touched after the fork only: it has threads.
#include <fmt/format.h>
#include <nng/nng.h>
#include <nng/protocol/pipeline0/pull.h>
#include <nng/protocol/pipeline0/push.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "bench/lib/loops.h"
#include "bench/peers/peers.h"
#include "bench/peers/settings.h"

namespace libbus::bench {
namespace {

absl::Status Failed(const char* call, int error) {
  return absl::UnavailableError(fmt::format("{}: {}", call, nng_strerror(error)));
}

void SetUp(nng_socket socket) {
  nng_socket_set_int(socket, NNG_OPT_SENDBUF, settings::kNngBuffer);
  nng_socket_set_int(socket, NNG_OPT_RECVBUF, settings::kNngBuffer);
  nng_socket_set_size(socket, NNG_OPT_RECVMAXSZ, 0);  // no limit
  nng_socket_set_ms(socket, NNG_OPT_RECONNMINT, 1);
  nng_socket_set_ms(socket, NNG_OPT_RECONNMAXT, 1);
}

absl::Status Send(nng_socket socket, std::span<const std::byte> bytes) {
  nng_msg* message = nullptr;
  if (const int error = nng_msg_alloc(&message, bytes.size()); error != 0) return Failed("nng_msg_alloc", error);
  if (!bytes.empty()) std::memcpy(nng_msg_body(message), bytes.data(), bytes.size());
  const int error = nng_sendmsg(socket, message, 0);
  if (error == 0) return absl::OkStatus();
  nng_msg_free(message);
  return Failed("nng_sendmsg", error);
}

class NngWriter {
 public:
  explicit NngWriter(std::vector<nng_socket> sockets) : sockets_(std::move(sockets)) {}

  absl::Status Write(std::span<const std::byte> bytes) {
    for (const nng_socket socket : sockets_) {
      if (auto sent = Send(socket, bytes); !sent.ok()) return sent;
    }
    return absl::OkStatus();
  }

 private:
  std::vector<nng_socket> sockets_;
};

class NngReader {
 public:
  NngReader(nng_socket socket, Wait wait) : socket_(socket), wait_(wait) {}
  NngReader(const NngReader&) = delete;
  NngReader& operator=(const NngReader&) = delete;
  ~NngReader() { Free(); }

  absl::StatusOr<std::span<const std::byte>> Next() {
    if (!Receive(wait_ == Wait::kSpin ? NNG_FLAG_NONBLOCK : 0)) {
      SpinUntilReady([this] { return Receive(NNG_FLAG_NONBLOCK); });
    }
    if (error_ != 0) return Failed("nng_recvmsg", error_);
    return std::span(static_cast<const std::byte*>(nng_msg_body(message_)), nng_msg_len(message_));
  }

  bool AtEnd() { return !Receive(NNG_FLAG_NONBLOCK); }

 private:
  void Free() {
    if (message_ != nullptr) nng_msg_free(std::exchange(message_, nullptr));
  }

  // True also when it fails for another reason than an empty socket.
  bool Receive(int flags) {
    Free();
    error_ = nng_recvmsg(socket_, &message_, flags);
    return error_ != NNG_EAGAIN;
  }

  nng_socket socket_;
  Wait wait_;
  nng_msg* message_ = nullptr;
  int error_ = 0;
};

class Nng : public Contender {
 public:
  std::string_view name() const override { return "nng"; }
  Kind kind() const override { return Kind::kPeer; }

  absl::Status Prepare(const Run&) override {
    static int count = 0;
    address_ = fmt::format("abstract://libbus-bench-{}-{}", getpid(), count++);
    return absl::OkStatus();
  }

  // Sockets stay open until the process ends: closing one drops what has not left yet, and the consumers have all by
  // then.
  absl::Status Produce(const Run& run, ProducerSide& side) override {
    std::vector<nng_socket> sockets;
    for (uint32_t i = 0; i < run.consumers; ++i) {
      nng_socket socket = NNG_SOCKET_INITIALIZER;
      if (const int error = nng_push0_open(&socket); error != 0) return Failed("nng_push0_open", error);
      SetUp(socket);
      const int error = nng_dial(socket, AddressOf(i).c_str(), nullptr, NNG_FLAG_NONBLOCK);
      if (error != 0) return Failed("nng_dial", error);
      if (auto sent = Send(socket, {}); !sent.ok()) return sent;
      sockets.push_back(socket);
    }
    NngWriter writer(std::move(sockets));
    return WriteRecords(run, side, writer);
  }

  // The first, empty message of each producer says that it is connected.
  absl::Status Consume(const Run& run, ConsumerSide& side) override {
    nng_socket socket = NNG_SOCKET_INITIALIZER;
    if (const int error = nng_pull0_open(&socket); error != 0) return Failed("nng_pull0_open", error);
    SetUp(socket);
    const int error = nng_listen(socket, AddressOf(side.index).c_str(), nullptr, 0);
    if (error != 0) return Failed("nng_listen", error);
    NngReader reader(socket, Wait::kPark);
    for (uint32_t i = 0; i < run.producers; ++i) {
      if (const auto hello = reader.Next(); !hello.ok()) return hello.status();
    }
    NngReader records(socket, run.wait);
    return ReadRecords(run, side, records);
  }

  void Discard() override {}

 private:
  std::string AddressOf(uint32_t consumer) const { return fmt::format("{}-{}", address_, consumer); }

  std::string address_;
};

}  // namespace

std::unique_ptr<Contender> MakeNng() { return std::make_unique<Nng>(); }

}  // namespace libbus::bench
