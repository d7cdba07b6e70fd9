// Redis: one RPUSH for each record, over a Unix-domain socket, to a server of the run's own, whose append-only file is
// synced before anybody is answered. What several clients have sent by then is one write and one sync.
#include <fcntl.h>
#include <fmt/format.h>
#include <hiredis/hiredis.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "bench/lib/durable_loop.h"
#include "bench/lib/processes.h"
#include "bench/peers/durable_peers.h"
#include "bench/peers/program.h"
#include "bench/peers/settings.h"

namespace libbus::bench {
namespace {

// How long a server may take to start, or to read what it has.
constexpr uint64_t kPatienceNs = 30'000'000'000;
// Paths of sockets are short: both sides name it from the run's directory.
constexpr const char* kSocket = "redis.sock";
constexpr const char* kPidFile = "redis.pid";
constexpr const char* kKey = "records";

struct FreeReply {
  void operator()(redisReply* reply) const { freeReplyObject(reply); }
};
using Reply = std::unique_ptr<redisReply, FreeReply>;
struct Disconnect {
  void operator()(redisContext* context) const { redisFree(context); }
};
using Connection = std::unique_ptr<redisContext, Disconnect>;

absl::Status Failed(const Connection& connection) { return absl::UnavailableError(connection->errstr); }

absl::StatusOr<Reply> Ask(const Connection& connection, const std::vector<std::string_view>& words) {
  std::vector<const char*> texts;
  std::vector<size_t> lengths;
  texts.reserve(words.size());
  lengths.reserve(words.size());
  for (const std::string_view word : words) {
    texts.push_back(word.data());
    lengths.push_back(word.size());
  }
  Reply reply(static_cast<redisReply*>(
      redisCommandArgv(connection.get(), static_cast<int>(words.size()), texts.data(), lengths.data())));
  if (reply == nullptr) return Failed(connection);
  if (reply->type == REDIS_REPLY_ERROR) return absl::UnavailableError(std::string(reply->str, reply->len));
  return reply;
}

// REQUIRES: a process of its own, whose directory becomes the run's. Waits until the server answers.
absl::StatusOr<Connection> Connect(const DurableRun& run) {
  if (chdir(run.directory.c_str()) != 0) {
    return absl::UnavailableError(fmt::format("{}: {}", run.directory, std::strerror(errno)));
  }
  const uint64_t until = NowNs() + kPatienceNs;
  while (true) {
    Connection connection(redisConnectUnix(kSocket));
    if (connection != nullptr && connection->err == 0 && Ask(connection, {"PING"}).ok()) return connection;
    if (NowNs() > until) return absl::UnavailableError("the server does not answer");
    usleep(1000);
  }
}

class Redis : public DurableWriter {
 public:
  std::string_view name() const override { return "redis"; }

  absl::Status Prepare(const DurableRun& run) override {
    auto memory = Mapping::Anonymous(sizeof(std::atomic<uint32_t>));
    if (!memory.ok()) return memory.status();
    memory_ = *std::move(memory);
    new (memory_.data()) std::atomic<uint32_t>(0);
    if (auto started = StartServer(run); !started.ok()) return started;
    if (auto ready = RunInProcess([&] { return Connect(run).status(); }); !ready.ok()) return ready;
    std::ifstream(run.directory + "/" + kPidFile) >> server_id_;
    written_before_ = WrittenBytesOf(server_id_);
    return absl::OkStatus();
  }

  absl::Status Write(const DurableRun& run, DurableSide& side) override {
    auto connection = Connect(run);
    if (!connection.ok()) return connection.status();
    auto written = WriteDurably(run, side, [&](std::span<const std::byte> record) {
      return Ask(*connection, {"RPUSH", kKey, {reinterpret_cast<const char*>(record.data()), record.size()}}).status();
    });
    // It is the server that writes: what it wrote for all is told by the last of them.
    auto& ended = *reinterpret_cast<std::atomic<uint32_t>*>(memory_.data());
    const bool last = ended.fetch_add(1) + 1 == run.producers;
    side.report->written = last ? WrittenBytesOf(server_id_) - written_before_ : 0;
    return written;
  }

  // A second server reads the file that the first one, killed, has left.
  absl::StatusOr<uint64_t> Check(const DurableRun& run) override {
    server_.reset();
    unlink((run.directory + "/" + kSocket).c_str());
    if (auto started = StartServer(run); !started.ok()) return started;
    if (auto verified = RunInProcess([&] { return Verify(run); }); !verified.ok()) return verified;
    return 0;
  }

  void Discard() override {
    server_.reset();
    memory_ = Mapping();
  }

 private:
  absl::Status StartServer(const DurableRun& run) {
    server_ = std::make_unique<ProcessGroup>();
    return server_->Start("redis-server", [&] {
      std::vector<std::string> command = {LIBBUS_BENCH_REDIS_SERVER,
                                          "--dir",
                                          run.directory,
                                          "--unixsocket",
                                          kSocket,
                                          "--pidfile",
                                          kPidFile,
                                          "--logfile",
                                          "redis.log"};
      command.insert(command.end(), std::begin(settings::kRedisOptions), std::end(settings::kRedisOptions));
      return RunProgram(command, -1).ok() ? 0 : 1;
    });
  }

  static absl::Status Verify(const DurableRun& run) {
    auto connection = Connect(run);
    if (!connection.ok()) return connection.status();
    Verifier verifier(run.size, run.producers, 1);
    const uint64_t step = std::max<uint64_t>((1 << 20) / run.size, 1);
    for (uint64_t first = 0;; first += step) {
      auto reply = Ask(*connection, {"LRANGE", kKey, std::to_string(first), std::to_string(first + step - 1)});
      if (!reply.ok()) return reply.status();
      if ((*reply)->elements == 0) return CheckCount(run, verifier).status();
      for (size_t i = 0; i < (*reply)->elements; ++i) {
        const redisReply& one = *(*reply)->element[i];
        if (!verifier.Check({reinterpret_cast<const std::byte*>(one.str), one.len})) {
          return absl::InternalError(verifier.error());
        }
      }
    }
  }

  Mapping memory_;  // how many producers have ended
  std::unique_ptr<ProcessGroup> server_;
  pid_t server_id_ = 0;
  uint64_t written_before_ = 0;
};

}  // namespace

std::unique_ptr<DurableWriter> MakeRedis() { return std::make_unique<Redis>(); }

}  // namespace libbus::bench
