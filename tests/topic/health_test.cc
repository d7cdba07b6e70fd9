#include "libbus/health.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>
#include <vector>

#include "libbus/bus.h"
#include "tests/seam/seam.h"
#include "tests/support/durable_topic.h"

namespace libbus {
namespace {

using platform::seam_control;
using HealthTest = test::DurableTopic;

TEST_F(HealthTest, HealthAndTheHookTellOfFailures) {
  std::vector<HealthProblem> told;
  auto bus = Bus::Open(bus_, {.create = true, .background = false, .log_hook = [&](const HealthProblem& problem) {
                                told.push_back(problem);
                              }});
  auto topic = bus->OpenTopic("t", {.create = true, .segment_size = 4096});
  ASSERT_TRUE(topic->Maintain().ok());
  EXPECT_TRUE(bus->Health().ok());
  auto producer = topic->NewProducer();
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(producer->Publish(std::string(1000, 'x')).ok());
  seam_control.allocate_error = ENOSPC;
  EXPECT_FALSE(topic->Maintain().ok());
  EXPECT_FALSE(topic->Maintain().ok());
  seam_control.allocate_error = 0;
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].kind, WorkKind::kPrepare);
  EXPECT_EQ(told[0].topic, "t");
  ASSERT_EQ(bus->Health().problems.size(), 1u);
  EXPECT_EQ(bus->Health().problems[0].count, 2u);
  ASSERT_TRUE(topic->Maintain().ok());
  EXPECT_TRUE(bus->Health().ok());
  ASSERT_EQ(told.size(), 2u);
  EXPECT_TRUE(told[1].status.ok());
  seam_control.sync_error = EIO;
  EXPECT_FALSE(topic->Sync().ok());
  seam_control.sync_error = 0;
  EXPECT_FALSE(topic->Maintain().ok());
  ASSERT_EQ(bus->Health().problems.size(), 1u);
  EXPECT_EQ(bus->Health().problems[0].kind, WorkKind::kSync);
  ASSERT_EQ(told.size(), 3u);
}

}  // namespace
}  // namespace libbus
