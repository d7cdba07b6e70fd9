// What a case's samples say: medians of what was measured at one distance of the cores.
#ifndef LIBBUS_BENCH_FIGURES_H_
#define LIBBUS_BENCH_FIGURES_H_

#include <optional>
#include <string_view>
#include <vector>

#include "bench/lib/runner.h"

namespace libbus::bench {

struct Figures {
  size_t rounds = 0;  // unpaced ones, or where there are none paced ones
  double undisturbed = 0;
  double undisturbed_lowest = 0;
  double undisturbed_highest = 0;
  double rate = 0;  // end to end
  double lowest = 0;
  double highest = 0;
  std::optional<Latency> latency;

  bool has_rates() const { return undisturbed > 0; }
};

// Of one distance, or of all that there was where none is given. Zero rounds: nothing was measured there.
Figures FiguresOf(const ContenderResult& contender, std::optional<Distance> distance);

// Those at which libbus was measured, the one with most rounds first.
std::vector<Distance> DistancesOf(const CaseResult& result);

// The median way of a cache line in the runs of one distance, ns.
uint64_t TravelOf(const CaseResult& result, Distance distance);

// How many times another's rate libbus has: the median of the ratios of rounds in which both were measured at that
// distance, or where there is none the ratio of the medians. Nothing: one of the two has none.
struct Ratio {
  double undisturbed;
  double end_to_end;
};
std::optional<Ratio> RatioTo(const CaseResult& result, std::string_view other, std::optional<Distance> distance);

// Of that kind the one with the highest undisturbed rate; null: none has a rate.
const ContenderResult* BestOf(const CaseResult& result, Kind kind, Distance distance);
// Of that kind the one with the least median latency; null: none has a latency.
const ContenderResult* QuickestOf(const CaseResult& result, Kind kind, Distance distance);

}  // namespace libbus::bench

#endif  // LIBBUS_BENCH_FIGURES_H_
