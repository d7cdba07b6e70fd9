// Each durable peer that is built in has every record, in its producer's order, when the run is over.
#include "bench/peers/durable_peers.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "bench/lib/durable.h"
#include "tests/support/disk.h"
#include "tests/support/scratch.h"

namespace libbus::bench {
namespace {

DurableOptions Tiny(const test::Scratch& scratch, uint32_t producers) {
  DurableOptions options;
  options.size = 100;
  options.producers = producers;
  options.rounds = 2;
  options.records = 60;
  options.directory = scratch.path();
  options.peers = AllDurablePeers;
  return options;
}

void HaveAll(uint32_t producers) {
  const test::Scratch scratch(test::DiskParent());
  const auto result = RunDurableEach(Tiny(scratch, producers));
  ASSERT_TRUE(result.ok()) << result.status().ToString();
  ASSERT_EQ(result->ways.size(), 3 + AllDurablePeers().size());
  const std::string text = DurableText(*result);
  for (const DurableWay& way : result->ways) {
    if (way.name == "rocksdb" && producers > 1) {
      EXPECT_EQ(way.refusal, "one process at a time may write");
      EXPECT_NE(text.find("rocksdb         skipped: one process"), std::string::npos) << text;
      continue;
    }
    EXPECT_EQ(way.refusal, "") << way.name;
    EXPECT_EQ(way.rates.size(), 2u) << way.name;
    EXPECT_EQ(way.latencies.size(), 2u) << way.name;
  }
  EXPECT_TRUE(std::filesystem::is_empty(scratch.path()));
}

TEST(DurablePeers, HaveAllOfOneProducer) { HaveAll(1); }

TEST(DurablePeers, HaveAllOfSeveral) { HaveAll(3); }

// One that answers without having written: its records are looked for, and it is left out.
class Forgetful : public DurableWriter {
 public:
  std::string_view name() const override { return "forgetful"; }
  absl::Status Prepare(const DurableRun& run) override { return inner_->Prepare(run); }
  absl::Status Write(const DurableRun& run, DurableSide& side) override {
    DurableRun less = run;
    less.records = run.records - 1;
    return inner_->Write(less, side);
  }
  absl::StatusOr<uint64_t> Check(const DurableRun& run) override { return inner_->Check(run); }
  void Discard() override { inner_->Discard(); }

 private:
  std::unique_ptr<DurableWriter> inner_ = MakeBareWrite();
};

TEST(DurablePeers, AreLeftOutWhereARecordIsMissing) {
  const test::Scratch scratch(test::DiskParent());
  DurableOptions options = Tiny(scratch, 1);
  options.peers = [] {
    std::vector<std::unique_ptr<DurableWriter>> one;
    one.push_back(std::make_unique<Forgetful>());
    return one;
  };
  const auto result = RunDurableEach(options);
  ASSERT_TRUE(result.ok()) << result.status().ToString();
  EXPECT_EQ(result->Of("forgetful").refusal, "forgetful: record 59 is missing");
  EXPECT_EQ(result->Of("libbus").rates.size(), 2u);
  EXPECT_NE(DurableJson(*result).find(R"("skipped_forgetful":"forgetful: record 59)"), std::string::npos);
}

}  // namespace
}  // namespace libbus::bench
