#include "bench/peers/peers.h"

#include <fmt/format.h>

namespace libbus::bench {
namespace {

using Make = std::unique_ptr<Contender> (*)();

// Null: its package was not there.
struct Entry {
  std::string_view name;
  Make make;
};

#ifdef LIBBUS_BENCH_ZEROMQ
constexpr Make kZeroMq = MakeZeroMq;
#else
constexpr Make kZeroMq = nullptr;
#endif
#ifdef LIBBUS_BENCH_NNG
constexpr Make kNng = MakeNng;
#else
constexpr Make kNng = nullptr;
#endif

constexpr Entry kPeers[] = {
    {"pipe", MakePipe},
    {"unix_socket", MakeUnixSocket},
    {"tcp", MakeTcp},
    {"posix_queue", MakePosixQueue},
    {"boost_queue", MakeBoostQueue},
    {"zeromq (libzmq3-dev)", kZeroMq},
    {"nng (libnng-dev)", kNng},
};

}  // namespace

std::vector<std::unique_ptr<Contender>> AllPeers() {
  std::vector<std::unique_ptr<Contender>> all;
  for (const Entry& entry : kPeers) {
    if (entry.make != nullptr) all.push_back(entry.make());
  }
  return all;
}

std::vector<std::string> MissingPeers() {
  std::vector<std::string> lines;
  for (const Entry& entry : kPeers) {
    if (entry.make == nullptr) {
      lines.push_back(fmt::format("{}: not built in: ./dev install-deps --bench, then build again", entry.name));
    }
  }
  return lines;
}

}  // namespace libbus::bench
