// A topic that is written to while it is looked at: what changes under a look is no damage.
#include <gtest/gtest.h>

#include <atomic>
#include <string>

#include "libbus/bus.h"
#include "libbus/inspect.h"
#include "tests/support/processes.h"
#include "tests/support/scratch.h"

namespace libbus::test {
namespace {

struct Shares {
  std::atomic<bool> stop = false;
  std::atomic<uint64_t> published = 0;
};

// Publishes everything that there is, and moves a cursor, until it is told to stop.
int WriteOn(const std::string& path, Shares& shares) {
  auto bus = Bus::Open(path, {});
  if (!bus.ok()) return 1;
  auto topic = bus->OpenTopic("t");
  auto producer = topic.ok() ? topic->NewProducer({.name = "live"}) : topic.status();
  auto consumer = topic.ok() ? topic->NewConsumer({.cursor = "c"}) : topic.status();
  if (!producer.ok() || !consumer.ok()) return 2;
  for (uint64_t n = 0; !shares.stop; ++n) {
    if (!producer->Publish(std::string(n % 300, 'x'), {.key = "k"}).ok()) return 3;
    auto claim = producer->Claim(100 + n % 50);
    if (!claim.ok()) return 4;
    const bool done = n % 3 == 0 ? std::move(*claim).Abandon().ok() : std::move(*claim).Commit(50).ok();
    if (!done) return 5;
    Batch batch = producer->NewBatch();
    for (int i = 0; i < 3; ++i) (void)batch.Add("of a batch");
    if (!batch.Commit().ok() || !consumer->Next(absl::ZeroDuration()).ok() || !consumer->Commit().ok()) return 6;
    ++shares.published;
  }
  return 0;
}

TEST(LiveTest, WhatChangesUnderALookIsNoDamage) {
  Scratch scratch;
  const std::string path = scratch / "bus";
  {
    auto bus = Bus::Open(path, {.create = true, .background = false});
    ASSERT_TRUE(bus.ok() && bus->OpenTopic("t", {.create = true, .segment_size = 16384}).ok());
  }
  Shared<Shares> shares;
  Child writer([&] { return WriteOn(path, *shares); });
  uint64_t before = 0;
  for (int look = 0; look < 30; ++look) {
    const auto dump = DumpTopic(path, "t", {}, [](const DumpItem& item) {
      EXPECT_FALSE(item.damaged) << DumpText(item);
      // What is said is what is shown: a claim may be committed between two reads of it.
      if (item.kind == DumpKind::kReserved || item.kind == DumpKind::kGap) {
        EXPECT_EQ(item.fields.at(0).bytes.at(0), item.kind == DumpKind::kGap ? '\x3c' : '\x0f') << DumpText(item);
      }
      return true;
    });
    ASSERT_TRUE(dump.ok()) << dump.status();
    for (const std::string file : {"control", "cursors/c", "sleep", "locks"}) {
      const auto other = DumpFile(path + "/t/" + file, {}, [&](const DumpItem& item) {
        EXPECT_FALSE(item.damaged) << file << "\n" << DumpText(item);
        return true;
      });
      EXPECT_TRUE(other.ok() || absl::IsNotFound(other.status())) << other.status();
    }
    const auto report = VerifyTopic(path, "t", [](const Finding& finding) {
      EXPECT_FALSE(finding.damage) << finding.what;
      return true;
    });
    ASSERT_TRUE(report.ok()) << report.status();
    // Something is written during each look.
    while (shares->published == before && kill(writer.pid(), 0) == 0 && look < 29) usleep(1000);
    before = shares->published;
    if (report->bytes > 4 << 20) break;
  }
  shares->stop = true;
  EXPECT_EQ(writer.Join(), 0);
  EXPECT_GT(before, 0u);
}

}  // namespace
}  // namespace libbus::test
