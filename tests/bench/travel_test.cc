#include "bench/lib/travel.h"

#include <gtest/gtest.h>
#include <sched.h>

#include "bench/lib/processes.h"

namespace libbus::bench {
namespace {

TEST(Travel, IsNearOrFar) {
  EXPECT_EQ(DistanceOf(25), Distance::kNear);
  EXPECT_EQ(DistanceOf(70), Distance::kNear);
  EXPECT_EQ(DistanceOf(240), Distance::kFar);
  EXPECT_EQ(DistanceName(Distance::kFar), "far");
}

TEST(Travel, IsMeasuredBetweenTwoCores) {
  if (Cores() < 2) GTEST_SKIP() << "needs two cores";
  const auto travel = MeasureTravel();
  ASSERT_TRUE(travel.ok()) << travel.status().ToString();
  EXPECT_GT(travel->ns, 0u);
  EXPECT_EQ(travel->distance, DistanceOf(travel->ns));
}

// In a process of its own, which may use one core.
TEST(Travel, IsNoneOnOneCore) {
  const auto status = RunInProcess([] {
    cpu_set_t all;
    cpu_set_t one;
    CPU_ZERO(&one);
    sched_getaffinity(0, sizeof(all), &all);
    for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++i) {
      if (CPU_ISSET(i, &all)) CPU_SET(i, &one);
    }
    sched_setaffinity(0, sizeof(one), &one);
    const auto travel = MeasureTravel();
    if (!travel.ok()) return travel.status();
    if (travel->distance == Distance::kOne && travel->ns == 0 && Cores() == 1) return absl::OkStatus();
    return absl::InternalError("a line travelled on one core");
  });
  EXPECT_TRUE(status.ok()) << status.ToString();
}

}  // namespace
}  // namespace libbus::bench
