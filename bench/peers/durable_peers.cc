#include "bench/peers/durable_peers.h"

#include "bench/peers/built_in.h"

namespace libbus::bench {
namespace {

using Entry = PeerEntry<DurableWriter>;
using Make = decltype(Entry::make);

#ifdef LIBBUS_BENCH_SQLITE
constexpr Make kSqlite = MakeSqlite;
#else
constexpr Make kSqlite = nullptr;
#endif
#ifdef LIBBUS_BENCH_LMDB
constexpr Make kLmdb = MakeLmdb;
#else
constexpr Make kLmdb = nullptr;
#endif
#ifdef LIBBUS_BENCH_ROCKSDB
constexpr Make kRocksDb = MakeRocksDb;
#else
constexpr Make kRocksDb = nullptr;
#endif
#ifdef LIBBUS_BENCH_REDIS
constexpr Make kRedis = MakeRedis;
#else
constexpr Make kRedis = nullptr;
#endif

constexpr Entry kPeers[] = {
    {"sqlite (libsqlite3-dev)", kSqlite},
    {"lmdb (liblmdb-dev)", kLmdb},
    {"rocksdb (librocksdb-dev)", kRocksDb},
    {"redis (redis-server, libhiredis-dev)", kRedis},
};

}  // namespace

std::vector<std::unique_ptr<DurableWriter>> AllDurablePeers() { return MakeBuiltIn<DurableWriter>(kPeers); }

std::vector<std::string> MissingDurablePeers() { return NotBuiltIn<DurableWriter>(kPeers); }

}  // namespace libbus::bench
