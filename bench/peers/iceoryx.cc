// iceoryx: one service, which every producer publishes to and every consumer has subscribed to; a full queue of a
// consumer holds its producers up. RouDi, which there may be one of on a machine, is started for each run and killed
// behind it; what it leaves then is removed. Runs of other processes wait for their turn, and where somebody else's
// RouDi runs there is no run: its memory is laid out for something else.
#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iceoryx_hoofs/log/logmanager.hpp>
#include <iceoryx_hoofs/platform/platform_settings.hpp>
#include <iceoryx_posh/popo/untyped_publisher.hpp>
#include <iceoryx_posh/popo/untyped_subscriber.hpp>
#include <iceoryx_posh/popo/wait_set.hpp>
#include <iceoryx_posh/runtime/posh_runtime.hpp>
#include <memory>
#include <new>
#include <string>

#include "bench/lib/loops.h"
#include "bench/lib/processes.h"
#include "bench/peers/peers.h"
#include "bench/peers/program.h"
#include "bench/peers/settings.h"

namespace libbus::bench {
namespace {

// How long other runs may have RouDi.
constexpr uint64_t kTurnNs = 60'000'000'000;
// What a producer says until all consumers have heard it. Shorter than any record; its producer's number.
using Hello = uint64_t;
static_assert(sizeof(Hello) < kMinRecordSize);

uint64_t Chunks(const Run& run) {
  return run.consumers * settings::IceoryxQueue(run.size) + uint64_t{8} * run.producers + uint64_t{2} * run.consumers +
         8;
}
uint64_t Hellos(const Run& run) {
  return run.consumers * settings::IceoryxQueue(run.size) + uint64_t{8} * run.producers + 8;
}
uint64_t BytesNeeded(const Run& run) { return Chunks(run) * (run.size + 128) + Hellos(run) * 128 + (128 << 20); }

// A name that one process of the machine can have; it goes with its last process.
class Turn {
 public:
  Turn() = default;
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  ~Turn() { Give(); }

  absl::Status Take() {
    fd_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd_ < 0) return absl::UnavailableError(fmt::format("socket: {}", std::strerror(errno)));
    sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = {}};
    constexpr char kName[] = "\0libbus-bench-iceoryx";
    std::memcpy(address.sun_path, kName, sizeof(kName) - 1);
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + sizeof(kName) - 1);
    const uint64_t until = NowNs() + kTurnNs;
    while (bind(fd_, reinterpret_cast<const sockaddr*>(&address), length) != 0) {
      if (errno != EADDRINUSE) return absl::UnavailableError(fmt::format("bind: {}", std::strerror(errno)));
      if (NowNs() > until) return absl::UnavailableError("another bench has RouDi for a minute");
      usleep(10'000);
    }
    return absl::OkStatus();
  }

  void Give() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

 private:
  int fd_ = -1;
};

std::string SocketPath() {
  return std::string(iox::platform::IOX_UDS_SOCKET_PATH_PREFIX) + iox::roudi::IPC_CHANNEL_ROUDI_NAME;
}

// Whether somebody listens.
bool RouDiIsThere() {
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = {}};
  std::strncpy(address.sun_path, SocketPath().c_str(), sizeof(address.sun_path) - 1);
  const bool there = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  close(fd);
  return there;
}

std::string RuntimeName(const char* role, uint32_t index) { return fmt::format("libbus-bench-{}-{}", role, index); }

// A process of a run ends without a word, as all do here.
void RemoveRemainsOf(const char* role, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    const std::string name = RuntimeName(role, i);
    unlink((iox::platform::IOX_UDS_SOCKET_PATH_PREFIX + name).c_str());
    unlink((iox::platform::IOX_LOCK_FILE_PATH_PREFIX + name + ".lock").c_str());
  }
}

// What a RouDi of this user leaves that was killed: its own memory, and the one segment that is named after the group.
void RemoveRemainsOfRouDi() {
  shm_unlink(fmt::format("/{}", iox::roudi::SHM_NAME).c_str());
  if (const group* own = getgrgid(getegid()); own != nullptr) shm_unlink(fmt::format("/{}", own->gr_name).c_str());
  unlink(SocketPath().c_str());
}

class IceoryxWriter {
 public:
  explicit IceoryxWriter(uint32_t index)
      : publisher_(
            {"libbus", "bench", "records"},
            {.historyCapacity = 0,
             .nodeName = iox::NodeName_t(iox::cxx::TruncateToCapacity, fmt::format("producer-{}", index).c_str()),
             .offerOnCreate = true,
             .subscriberTooSlowPolicy = iox::popo::ConsumerTooSlowPolicy::WAIT_FOR_CONSUMER}) {}

  absl::Status Write(std::span<const std::byte> bytes) {
    auto chunk = publisher_.loan(static_cast<uint32_t>(bytes.size()));
    if (chunk.has_error()) return absl::UnavailableError("no chunk can be had");
    std::memcpy(chunk.value(), bytes.data(), bytes.size());
    publisher_.publish(chunk.value());
    return absl::OkStatus();
  }

 private:
  iox::popo::UntypedPublisher publisher_;
};

class IceoryxReader {
 public:
  explicit IceoryxReader(const Run& run)
      : wait_(run.wait),
        subscriber_({"libbus", "bench", "records"}, {.queueCapacity = settings::IceoryxQueue(run.size),
                                                     .historyRequest = 0,
                                                     .nodeName = "consumer",
                                                     .subscribeOnCreate = true,
                                                     .queueFullPolicy = iox::popo::QueueFullPolicy::BLOCK_PRODUCER,
                                                     .requiresPublisherHistorySupport = false}) {
    if (wait_ == Wait::kPark) {
      waits_.attachState(subscriber_, iox::popo::SubscriberState::HAS_DATA).or_else([](auto&) { std::abort(); });
    }
  }
  IceoryxReader(const IceoryxReader&) = delete;
  IceoryxReader& operator=(const IceoryxReader&) = delete;
  ~IceoryxReader() {
    Release();
    if (wait_ == Wait::kPark) waits_.detachState(subscriber_, iox::popo::SubscriberState::HAS_DATA);
  }

  absl::StatusOr<std::span<const std::byte>> Next() {
    Release();
    while (!TakeRecord()) {
      if (wait_ == Wait::kPark) {
        waits_.wait();
      } else {
        SpinUntilReady([this] { return subscriber_.hasData(); });
      }
    }
    return Bytes();
  }

  bool AtEnd() {
    Release();
    return !TakeRecord();
  }

  // Which producer says that it is there; nobody: nothing is there.
  int TakeHello() {
    Release();
    if (!Take()) return -1;
    Hello producer;
    std::memcpy(&producer, chunk_, sizeof(producer));
    return static_cast<int>(producer);
  }

 private:
  bool Take() {
    auto chunk = subscriber_.take();
    chunk_ = chunk.has_error() ? nullptr : chunk.value();
    return chunk_ != nullptr;
  }

  // Passes over what was said before the start.
  bool TakeRecord() {
    while (Take()) {
      if (Bytes().size() != sizeof(Hello)) return true;
      Release();
    }
    return false;
  }

  std::span<const std::byte> Bytes() const {
    return {static_cast<const std::byte*>(chunk_), iox::mepoo::ChunkHeader::fromUserPayload(chunk_)->userPayloadSize()};
  }

  void Release() {
    if (chunk_ != nullptr) subscriber_.release(chunk_);
    chunk_ = nullptr;
  }

  Wait wait_;
  const void* chunk_ = nullptr;
  iox::popo::UntypedSubscriber subscriber_;
  iox::popo::WaitSet<1> waits_;
};

class Iceoryx : public Contender {
 public:
  std::string_view name() const override { return "iceoryx"; }
  Kind kind() const override { return Kind::kPeer; }

  std::string Refusal(const Run& run) const override {
    struct statvfs stat {};
    if (statvfs("/dev/shm", &stat) != 0) return "no /dev/shm";
    if (stat.f_bavail * stat.f_frsize >= BytesNeeded(run)) return {};
    return fmt::format("needs {} MiB in /dev/shm", BytesNeeded(run) >> 20);
  }

  absl::Status Prepare(const Run& run) override {
    producers_ = run.producers;
    consumers_ = run.consumers;
    auto memory = Mapping::Anonymous(sizeof(Meeting));
    if (!memory.ok()) return memory.status();
    memory_ = *std::move(memory);
    new (memory_.data()) Meeting;
    if (auto taken = turn_.Take(); !taken.ok()) return taken;
    if (RouDiIsThere()) return absl::UnavailableError("somebody else's RouDi runs");
    const std::string config = run.directory + "/roudi.toml";
    std::ofstream(config) << fmt::format(
                                 "[general]\nversion = 1\n[[segment]]\n[[segment.mempool]]\nsize = {}\ncount = {}\n",
                                 sizeof(Hello), Hellos(run))
                          << fmt::format("[[segment.mempool]]\nsize = {}\ncount = {}\n", (run.size + 127) / 64 * 64,
                                         Chunks(run));
    roudi_ = std::make_unique<ProcessGroup>();
    return roudi_->Start("RouDi", [&] { return RunRouDi(config); });
  }

  absl::Status Produce(const Run& run, ProducerSide& side) override {
    Register("producer", side.index);
    IceoryxWriter writer(side.index);
    const Hello hello = side.index;
    while (meeting().connected < run.consumers) {
      if (auto said = writer.Write(std::as_bytes(std::span(&hello, 1))); !said.ok()) return said;
      usleep(1000);
    }
    ++meeting().silent;
    return WriteRecords(run, side, writer);
  }

  // Goes on taking what producers say until nobody has anything to say any more: a queue that is full would hold them
  // up.
  absl::Status Consume(const Run& run, ConsumerSide& side) override {
    Register("consumer", side.index);
    IceoryxReader reader(run);
    std::vector<bool> heard(run.producers);
    uint32_t missing = run.producers;
    while (meeting().connected < run.consumers || meeting().silent < run.producers) {
      const int producer = reader.TakeHello();
      if (producer < 0) {
        usleep(100);
      } else if (!heard[static_cast<size_t>(producer)]) {
        heard[static_cast<size_t>(producer)] = true;
        if (--missing == 0) ++meeting().connected;
      }
    }
    return ReadRecords(run, side, reader);
  }

  void Discard() override {
    if (roudi_ != nullptr) {
      roudi_.reset();
      RemoveRemainsOfRouDi();
      RemoveRemainsOf("producer", producers_);
      RemoveRemainsOf("consumer", consumers_);
    }
    turn_.Give();
    memory_ = Mapping();
  }

 private:
  struct Meeting {
    std::atomic<uint32_t> connected{0};  // consumers that have heard every producer
    std::atomic<uint32_t> silent{0};     // producers that have seen that all are
  };
  Meeting& meeting() { return *reinterpret_cast<Meeting*>(memory_.data()); }

  static void Register(const char* role, uint32_t index) {
    iox::log::LogManager::GetLogManager().SetDefaultLogLevel(iox::log::LogLevel::kOff,
                                                             iox::log::LogLevelOutput::kHideLogLevel);
    iox::runtime::PoshRuntime::initRuntime(
        iox::RuntimeName_t(iox::cxx::TruncateToCapacity, RuntimeName(role, index).c_str()));
  }

  static int RunRouDi(const std::string& config) {
    const int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) dup2(nowhere, fd);
    return RunProgram({LIBBUS_BENCH_ROUDI, "-c", config, "-l", "off", "-m", "off"}, -1).ok() ? 0 : 1;
  }

  Turn turn_;
  Mapping memory_;
  uint32_t producers_ = 0;
  uint32_t consumers_ = 0;
  std::unique_ptr<ProcessGroup> roudi_;
};

}  // namespace

std::unique_ptr<Contender> MakeIceoryx() { return std::make_unique<Iceoryx>(); }

}  // namespace libbus::bench
