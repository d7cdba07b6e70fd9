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
#ifdef LIBBUS_BENCH_ICEORYX
constexpr Make kIceoryx = MakeIceoryx;
#else
constexpr Make kIceoryx = nullptr;
#endif
#ifdef LIBBUS_BENCH_AERON
constexpr Make kAeron = MakeAeron;
constexpr Make kExclusiveAeron = MakeExclusiveAeron;
#else
constexpr Make kAeron = nullptr;
constexpr Make kExclusiveAeron = nullptr;
#endif
#ifdef LIBBUS_BENCH_CHRONICLE
constexpr Make kChronicle = MakeChronicle;
#else
constexpr Make kChronicle = nullptr;
#endif

constexpr Entry kPeers[] = {
    {"pipe", MakePipe},
    {"unix_socket", MakeUnixSocket},
    {"tcp", MakeTcp},
    {"posix_queue", MakePosixQueue},
    {"boost_queue", MakeBoostQueue},
    {"zeromq (libzmq3-dev)", kZeroMq},
    {"nng (libnng-dev)", kNng},
    {"iceoryx (iceoryx, libiceoryx-posh-dev)", kIceoryx},
    {"aeron (a JDK, Maven)", kAeron},
    {"", kExclusiveAeron},
    {"chronicle_queue (a JDK, Maven)", kChronicle},
};

}  // namespace

std::vector<std::unique_ptr<Contender>> AllPeers() { return MakeBuiltIn<Contender>(kPeers); }

std::vector<std::string> MissingPeers() { return NotBuiltIn<Contender>(kPeers); }

}  // namespace libbus::bench
