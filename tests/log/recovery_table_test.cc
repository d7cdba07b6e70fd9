#include "libbus/log/recovery_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace libbus::log {
namespace {

template <typename T>
bool Takes(const std::vector<T>& in, int value) {
  return in.empty() || std::find(in.begin(), in.end(), static_cast<T>(value)) != in.end();
}

TEST(RecoveryTable, TakesEveryInputOnce) {
  for (int standing = 0; standing < kStandings; ++standing) {
    for (int trust = 0; trust < kTrusts; ++trust) {
      for (int rest = 0; rest < kRests; ++rest) {
        int taken = 0;
        for (const RecoveryCase& row : RecoveryCases()) {
          if (!Takes(row.standing, standing) || !Takes(row.trust, trust) || !Takes(row.rest, rest)) continue;
          ++taken;
          EXPECT_EQ(&FindCase(static_cast<Standing>(standing), static_cast<Trust>(trust), static_cast<Rest>(rest)),
                    &row);
        }
        EXPECT_EQ(taken, 1) << "standing " << standing << ", trust " << trust << ", rest " << rest;
      }
    }
  }
}

TEST(RecoveryTable, SaysHowEachRowArisesAndWhatIsDone) {
  for (const RecoveryCase& row : RecoveryCases()) {
    EXPECT_FALSE(row.label.empty());
    EXPECT_FALSE(row.arises.empty()) << row.label;
    EXPECT_FALSE(row.done.empty()) << row.label;
  }
}

}  // namespace
}  // namespace libbus::log
