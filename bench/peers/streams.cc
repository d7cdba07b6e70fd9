// Byte streams of the kernel: a pipe, a Unix-domain socket, TCP over loopback. One from each producer to each consumer.
// A record is written when it is published, with one call; a consumer reads as many as are there with one call.
#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "bench/lib/loops.h"
#include "bench/peers/peers.h"
#include "bench/peers/settings.h"

namespace libbus::bench {
namespace {

// More would need more descriptors than a process may have by default.
constexpr uint32_t kMaxStreams = 256;

absl::Status Failed(const char* call) {
  return absl::UnavailableError(fmt::format("{}: {}", call, std::strerror(errno)));
}

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_ = -1;
};

// Both ends of one stream.
struct Stream {
  Descriptor in;
  Descriptor out;
};

absl::StatusOr<Stream> NewPipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return Failed("pipe2");
  Stream stream{Descriptor(ends[1]), Descriptor(ends[0])};
  static_cast<void>(fcntl(ends[1], F_SETPIPE_SZ, settings::kPipeBytes));  // a smaller one works as well
  return stream;
}

void Enlarge(int socket) {
  const int bytes = settings::kSocketBytes;
  static_cast<void>(setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)));
  static_cast<void>(setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)));
}

absl::StatusOr<Stream> NewUnixSocket() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return Failed("socketpair");
  Stream stream{Descriptor(ends[1]), Descriptor(ends[0])};
  for (const int end : ends) Enlarge(end);
  return stream;
}

// Listens at a port that the kernel chooses.
absl::StatusOr<Stream> NewTcp() {
  const Descriptor listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (bind(listener.get(), generic, length) != 0 || listen(listener.get(), 1) != 0) return Failed("listen");
  if (getsockname(listener.get(), generic, &length) != 0) return Failed("getsockname");
  Stream stream{Descriptor(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), Descriptor()};
  if (connect(stream.in.get(), generic, length) != 0) return Failed("connect");
  stream.out = Descriptor(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (stream.out.get() < 0) return Failed("accept");
  setsockopt(stream.in.get(), IPPROTO_TCP, TCP_NODELAY, &settings::kTcpNoDelay, sizeof(settings::kTcpNoDelay));
  for (const int end : {stream.in.get(), stream.out.get()}) Enlarge(end);
  return stream;
}

absl::Status WriteAll(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno != EINTR) return Failed("write");
    if (written > 0) bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

class StreamWriter {
 public:
  explicit StreamWriter(std::vector<int> ends) : ends_(std::move(ends)) {}

  absl::Status Write(std::span<const std::byte> bytes) {
    for (const int end : ends_) {
      if (auto written = WriteAll(end, bytes); !written.ok()) return written;
    }
    return absl::OkStatus();
  }

 private:
  std::vector<int> ends_;
};

// What has been read from one stream and not been handed out.
class Inlet {
 public:
  Inlet(int fd, size_t record) : fd_(fd), record_(record), buffer_(std::max(settings::kStreamReadBytes, 2 * record)) {}

  bool HasRecord() const { return end_ - begin_ >= record_; }
  std::span<const std::byte> Take() { return {buffer_.data() + std::exchange(begin_, begin_ + record_), record_}; }
  int fd() const { return fd_; }

  // Reads once. OK too where nothing is there and the descriptor does not wait.
  absl::Status Read() {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= std::exchange(begin_, 0);
    const ssize_t got = read(fd_, buffer_.data() + end_, buffer_.size() - end_);
    if (got == 0) return absl::UnavailableError("a stream ended");
    if (got < 0) return errno == EAGAIN || errno == EINTR ? absl::OkStatus() : Failed("read");
    end_ += static_cast<size_t>(got);
    return absl::OkStatus();
  }

 private:
  int fd_;
  size_t record_;
  std::vector<std::byte> buffer_;
  size_t begin_ = 0;
  size_t end_ = 0;
};

class StreamReader {
 public:
  StreamReader(const std::vector<int>& ends, const Run& run) : wait_(run.wait) {
    for (const int end : ends) inlets_.emplace_back(end, run.size);
    // One parked reader of one stream just reads; all others first look.
    if (!ReadsAtOnce()) {
      for (const int end : ends) fcntl(end, F_SETFL, fcntl(end, F_GETFL) | O_NONBLOCK);
    }
  }

  absl::StatusOr<std::span<const std::byte>> Next() {
    if (!inlets_[current_].HasRecord() && !Look()) {
      if (wait_ == Wait::kSpin) SpinUntilReady([this] { return Look(); });
      if (wait_ == Wait::kPark) Sleep();
    }
    if (!status_.ok()) return status_;
    return inlets_[current_].Take();
  }

  bool AtEnd() {
    return std::none_of(inlets_.begin(), inlets_.end(), [](const Inlet& inlet) {
      pollfd handle = {inlet.fd(), POLLIN, 0};
      return inlet.HasRecord() || poll(&handle, 1, 0) > 0;
    });
  }

 private:
  bool ReadsAtOnce() const { return wait_ == Wait::kPark && inlets_.size() == 1; }

  // In turn. True also when a stream failed: status_ says so.
  bool Look() {
    for (size_t i = 0; i < inlets_.size(); ++i) {
      current_ = current_ + 1 < inlets_.size() ? current_ + 1 : 0;
      if (!inlets_[current_].HasRecord()) status_ = inlets_[current_].Read();
      if (!status_.ok() || inlets_[current_].HasRecord()) return true;
    }
    return false;
  }

  void Sleep() {
    do {
      if (ReadsAtOnce()) continue;
      std::vector<pollfd> handles;
      for (const Inlet& inlet : inlets_) handles.push_back({inlet.fd(), POLLIN, 0});
      poll(handles.data(), handles.size(), -1);
    } while (!Look());
  }

  Wait wait_;
  std::vector<Inlet> inlets_;
  size_t current_ = 0;
  absl::Status status_;
};

using MakeStream = absl::StatusOr<Stream> (*)();

class StreamContender : public Contender {
 public:
  StreamContender(std::string_view name, MakeStream make) : name_(name), make_(make) {}

  std::string_view name() const override { return name_; }
  Kind kind() const override { return Kind::kPeer; }

  std::string Refusal(const Run& run) const override {
    if (run.producers * run.consumers <= kMaxStreams) return {};
    return fmt::format("more than {} streams", kMaxStreams);
  }

  absl::Status Prepare(const Run& run) override {
    for (uint32_t i = 0; i < run.producers * run.consumers; ++i) {
      auto stream = make_();
      if (!stream.ok()) return stream.status();
      streams_.push_back(*std::move(stream));
    }
    return absl::OkStatus();
  }

  absl::Status Produce(const Run& run, ProducerSide& side) override {
    std::vector<int> ends;
    for (uint32_t i = 0; i < run.consumers; ++i) ends.push_back(streams_[side.index * run.consumers + i].in.get());
    StreamWriter writer(std::move(ends));
    return WriteRecords(run, side, writer);
  }

  absl::Status Consume(const Run& run, ConsumerSide& side) override {
    std::vector<int> ends;
    for (uint32_t i = 0; i < run.producers; ++i) ends.push_back(streams_[i * run.consumers + side.index].out.get());
    StreamReader reader(ends, run);
    return ReadRecords(run, side, reader);
  }

  void Discard() override { streams_.clear(); }

 private:
  std::string_view name_;
  MakeStream make_;
  std::vector<Stream> streams_;
};

}  // namespace

std::unique_ptr<Contender> MakePipe() { return std::make_unique<StreamContender>("pipe", NewPipe); }
std::unique_ptr<Contender> MakeUnixSocket() { return std::make_unique<StreamContender>("unix_socket", NewUnixSocket); }
std::unique_ptr<Contender> MakeTcp() { return std::make_unique<StreamContender>("tcp", NewTcp); }

}  // namespace libbus::bench
