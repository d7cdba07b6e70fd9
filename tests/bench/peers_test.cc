// Each peer that is built in brings every record, in order, to every consumer.
#include "bench/peers/peers.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "bench/lib/runner.h"
#include "tests/support/scratch.h"

namespace libbus::bench {
namespace {

std::vector<std::unique_ptr<Contender>> All() {
  std::vector<std::unique_ptr<Contender>> all;
  all.push_back(MakeLibbus());
  auto peers = AllPeers();
  std::move(peers.begin(), peers.end(), std::back_inserter(all));
  return all;
}

// A peer that fails here would be skipped in a bench, and nobody would miss it.
void RunsAll(CaseOptions options) {
  const test::Scratch scratch;
  options.rounds = 1;
  options.attempts = 1;
  options.paced_ns = 2'000'000;
  options.directory = scratch.path();
  const auto result = RunCase(options, All());
  ASSERT_TRUE(result.ok()) << result.status().ToString();
  for (const ContenderResult& one : result->contenders) {
    if (one.name == "posix_queue" && options.size > 8192) continue;
    EXPECT_EQ(one.refusal, "") << one.name;
    EXPECT_EQ(one.unpaced.size(), 1u) << one.name;
    EXPECT_EQ(one.paced.size(), 1u) << one.name;
  }
  EXPECT_TRUE(std::filesystem::is_empty(scratch.path()));
}

TEST(Peers, BringSmallRecords) {
  for (const Wait wait : {Wait::kSpin, Wait::kPark}) {
    CaseOptions options;
    options.records = 4000;
    options.wait = wait;
    RunsAll(options);
  }
}

TEST(Peers, BringLargeRecords) {
  CaseOptions options;
  options.size = 300'000;
  options.records = 40;
  options.wait = Wait::kPark;
  RunsAll(options);
}

TEST(Peers, BringManyToMany) {
  for (const Wait wait : {Wait::kSpin, Wait::kPark}) {
    CaseOptions options;
    options.size = 100;
    options.producers = 2;
    options.consumers = 2;
    options.records = 1600;
    options.wait = wait;
    RunsAll(options);
  }
}

TEST(Peers, RefuseWhatTheyCannotDo) {
  bench::Run run;
  run.size = 1 << 20;
  EXPECT_NE(MakePosixQueue()->Refusal(run).find("msgsize_max"), std::string::npos);
  run.producers = run.consumers = 64;
  EXPECT_EQ(MakePipe()->Refusal(run), "more than 256 streams");
}

TEST(Peers, AreNamedWhereTheyAreMissing) { EXPECT_EQ(AllPeers().size() + MissingPeers().size(), 7u); }

}  // namespace
}  // namespace libbus::bench
