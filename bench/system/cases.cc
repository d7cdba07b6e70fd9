#include "bench/system/cases.h"

namespace libbus::bench {

std::span<const SystemTable> SystemTables() {
  static constexpr SystemTable kTables[] = {
      {"producing", "Ways to publish", MeasureProducing},
      {"opening", "Opening and recovering", MeasureOpening},
      {"reading", "Checking, recovering, replaying, seeking", MeasureReading},
      {"growth", "As there is more of everything", MeasureGrowth},
      {"memory-used", "Memory", MeasureMemory},
      {"idling", "Doing nothing", MeasureIdling},
      {"stalls", "Stalls of a producer", MeasureStalls},
  };
  return kTables;
}

}  // namespace libbus::bench
