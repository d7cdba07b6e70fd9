// Each peer that is built in brings every record, in order, to every consumer.
#include "bench/peers/peers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "bench/lib/runner.h"
#include "tests/support/scratch.h"

namespace libbus::bench {
namespace {

// Those that are programs of their own take a second to start.
bool IsSlowToStart(const Contender& peer) { return peer.name().find("aeron") == 0 || peer.name() == "chronicle_queue"; }

std::vector<std::unique_ptr<Contender>> All(bool also_slow) {
  std::vector<std::unique_ptr<Contender>> all;
  all.push_back(MakeLibbus());
  for (auto& peer : AllPeers()) {
    if (also_slow || !IsSlowToStart(*peer)) all.push_back(std::move(peer));
  }
  return all;
}

// A peer that fails here would be skipped in a bench, and nobody would miss it.
void RunsAll(CaseOptions options, bool also_slow = true) {
  const test::Scratch scratch;
  options.rounds = 1;
  options.attempts = 1;
  options.paced_ns = 2'000'000;
  options.directory = scratch.path();
  const auto result = RunCase(options, All(also_slow));
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
    RunsAll(options, wait == Wait::kSpin);
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
    RunsAll(options, wait == Wait::kPark);
  }
}

TEST(Peers, RefuseWhatTheyCannotDo) {
  bench::Run run;
  run.size = 1 << 20;
  EXPECT_NE(MakePosixQueue()->Refusal(run).find("msgsize_max"), std::string::npos);
  run.producers = run.consumers = 64;
  EXPECT_EQ(MakePipe()->Refusal(run), "more than 256 streams");
}

// Each is there, or one line says that it is not.
TEST(Peers, AreNamedWhereTheyAreMissing) {
  const auto missing = MissingPeers();
  for (const char* name : {"pipe", "unix_socket", "tcp", "posix_queue", "boost_queue", "zeromq", "nng", "iceoryx",
                           "aeron", "chronicle_queue"}) {
    const auto built_in = AllPeers();
    const auto there =
        std::count_if(built_in.begin(), built_in.end(), [&](const auto& one) { return one->name() == name; });
    const auto told = std::count_if(missing.begin(), missing.end(), [&](const std::string& line) {
      return line.rfind(std::string(name) + (line.find('(') == std::string::npos ? ":" : " ("), 0) == 0;
    });
    EXPECT_EQ(there + told, 1) << name;
  }
}

}  // namespace
}  // namespace libbus::bench
