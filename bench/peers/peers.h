// What a user would take instead. All of them are given the same records, from processes to processes; where there are
// several consumers each producer sends to each of them, unless a peer brings one record to all by itself.
#ifndef LIBBUS_BENCH_PEERS_PEERS_H_
#define LIBBUS_BENCH_PEERS_PEERS_H_

#include <memory>
#include <string>
#include <vector>

#include "bench/lib/contender.h"

namespace libbus::bench {

std::unique_ptr<Contender> MakePipe();
std::unique_ptr<Contender> MakeUnixSocket();
std::unique_ptr<Contender> MakeTcp();
std::unique_ptr<Contender> MakePosixQueue();
std::unique_ptr<Contender> MakeBoostQueue();

// Built in where their packages were there: ./dev install-deps --bench.
std::unique_ptr<Contender> MakeZeroMq();
std::unique_ptr<Contender> MakeNng();
std::unique_ptr<Contender> MakeIceoryx();
std::unique_ptr<Contender> MakeAeron();
std::unique_ptr<Contender> MakeExclusiveAeron();
std::unique_ptr<Contender> MakeChronicle();

// All that are built in.
std::vector<std::unique_ptr<Contender>> AllPeers();

// A line for each that is not: which, and what to do.
std::vector<std::string> MissingPeers();

}  // namespace libbus::bench

#endif  // LIBBUS_BENCH_PEERS_PEERS_H_
