// Stores that a user would take for durable records. Each record is committed by itself, and is on the disk when that
// returns.
#ifndef LIBBUS_BENCH_PEERS_DURABLE_PEERS_H_
#define LIBBUS_BENCH_PEERS_DURABLE_PEERS_H_

#include <memory>
#include <string>
#include <vector>

#include "bench/lib/durable_writer.h"

namespace libbus::bench {

// Built in where their packages were there: ./dev install-deps --bench.
std::unique_ptr<DurableWriter> MakeSqlite();
std::unique_ptr<DurableWriter> MakeLmdb();
std::unique_ptr<DurableWriter> MakeRocksDb();
std::unique_ptr<DurableWriter> MakeRedis();

// All that are built in.
std::vector<std::unique_ptr<DurableWriter>> AllDurablePeers();

// A line for each that is not: which, and what to do.
std::vector<std::string> MissingDurablePeers();

}  // namespace libbus::bench

#endif  // LIBBUS_BENCH_PEERS_DURABLE_PEERS_H_
