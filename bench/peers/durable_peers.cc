#include "bench/peers/durable_peers.h"

#include <fmt/format.h>

namespace libbus::bench {
namespace {

using Make = std::unique_ptr<DurableWriter> (*)();

// Null: its package was not there.
struct Entry {
  std::string_view name;
  Make make;
};

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

constexpr Entry kPeers[] = {
    {"sqlite (libsqlite3-dev)", kSqlite},
    {"lmdb (liblmdb-dev)", kLmdb},
    {"rocksdb (librocksdb-dev)", kRocksDb},
};

}  // namespace

std::vector<std::unique_ptr<DurableWriter>> AllDurablePeers() {
  std::vector<std::unique_ptr<DurableWriter>> all;
  for (const Entry& entry : kPeers) {
    if (entry.make != nullptr) all.push_back(entry.make());
  }
  return all;
}

std::vector<std::string> MissingDurablePeers() {
  std::vector<std::string> lines;
  for (const Entry& entry : kPeers) {
    if (entry.make == nullptr) {
      lines.push_back(fmt::format("{}: not built in: ./dev install-deps --bench, then build again", entry.name));
    }
  }
  return lines;
}

}  // namespace libbus::bench
