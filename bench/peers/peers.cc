#include "bench/peers/peers.h"

#include "bench/peers/built_in.h"

namespace libbus::bench {
namespace {

using Entry = PeerEntry<Contender>;
using Make = decltype(Entry::make);

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

std::vector<std::unique_ptr<Contender>> AllPeers() { return MakeBuiltIn<Contender>(kPeers); }

std::vector<std::string> MissingPeers() { return NotBuiltIn<Contender>(kPeers); }

}  // namespace libbus::bench
