// Peers in other languages. A process of a run becomes another program, which maps the run's area anew, meets the
// others at the same barriers and leaves its figures in the same places: bench/lib/sides.h.
#ifndef LIBBUS_BENCH_PEERS_PROGRAM_H_
#define LIBBUS_BENCH_PEERS_PROGRAM_H_

#include <absl/status/status.h>

#include <string>
#include <vector>

#include "bench/lib/contender.h"

namespace libbus::bench {

// The run and the side as "key=value", for a program that RunProgram() starts.
std::vector<std::string> ArgumentsOf(const Run& run, const ProducerSide& side);
std::vector<std::string> ArgumentsOf(const Run& run, const ConsumerSide& side);

// This process becomes the program; returns only where that fails. It ends with 0, or with another code and its error
// in the report. `area`: of the side, for the program inherits its descriptor; -1: none.
absl::Status RunProgram(const std::vector<std::string>& command, int area);

// The command of a Java peer, up to the arguments of its class; built in where there is a JDK.
std::vector<std::string> JavaCommand(const std::vector<std::string>& options, const std::string& main_class);

}  // namespace libbus::bench

#endif  // LIBBUS_BENCH_PEERS_PROGRAM_H_
