#include "bench/lib/others.h"

#include <gtest/gtest.h>
#include <time.h>
#include <unistd.h>

#include "bench/lib/processes.h"
#include "bench/lib/shared.h"

namespace libbus::bench {
namespace {

TEST(CoreTimes, AreReadFromTheFirstLine) {
  const CoreTimes times = ParseCoreTimes("cpu  10 2 30 1000 50 4 5 7 90 91", 100);
  EXPECT_EQ(times.busy, 510'000'000u);  // guest time is part of user time
  EXPECT_EQ(times.stolen, 70'000'000u);
}

TEST(CoreTimes, AreNothingInAnotherFile) {
  for (const char* line : {"", "cpu0 1 2 3 4 5 6 7 8", "cpu 1 2 3", "cpu a b c d e f g h"}) {
    EXPECT_EQ(ParseCoreTimes(line, 100).busy, 0u) << line;
    EXPECT_EQ(ParseCoreTimes(line, 100).stolen, 0u) << line;
  }
}

constexpr uint64_t kWorkNs = 200'000'000;

// Until this process has had a core for so long.
void Work() {
  timespec time{};
  do {
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  } while (time.tv_sec == 0 && time.tv_nsec < static_cast<int64_t>(kWorkNs));
}

// What children did that were waited for is not others': however busy the machine is, the others cannot have had that.
TEST(OthersWatch, CountsOwnChildrenAsOwn) {
  const OthersWatch watch;
  ASSERT_TRUE(RunInProcess([] {
                Work();
                return absl::OkStatus();
              }).ok());
  const auto share = watch.Look();
  ASSERT_GE(share.elapsed, kWorkNs);
  const auto cores = static_cast<uint64_t>(sysconf(_SC_NPROCESSORS_ONLN));
  const uint64_t ticks = cores * 30'000'000;
  EXPECT_LE(share.taken, share.elapsed * cores - kWorkNs + ticks);
}

// A process that is not waited for yet is somebody else's.
TEST(OthersWatch, SeesWhatIsNotOurs) {
  ProcessGroup group;
  ASSERT_TRUE(group
                  .Start("somebody",
                         [] {
                           SpinUntil(NowNs() + 60'000'000'000);
                           return 0;
                         })
                  .ok());
  const OthersWatch watch;
  OthersWatch::Share share;
  do {
    SpinUntil(NowNs() + 50'000'000);
    share = watch.Look();
  } while (!share.disturbs() && share.elapsed < 30'000'000'000);
  EXPECT_TRUE(share.disturbs()) << share.taken << " of " << share.elapsed;
}

TEST(OthersWatch, ForgivesWhatTheKernelsCountMayBeOff) {
  EXPECT_FALSE((OthersWatch::Share{30'000'000, 100'000'000}).disturbs());
  EXPECT_TRUE((OthersWatch::Share{40'000'000, 100'000'000}).disturbs());
  EXPECT_FALSE((OthersWatch::Share{40'000'000, 1'000'000'000}).disturbs());
}

}  // namespace
}  // namespace libbus::bench
