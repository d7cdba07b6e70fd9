// Durability from the command line: sync policies, pub --sync, the durable position, --limit, and what is said where
// nothing can be made durable.
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/cli/tool.h"
#include "tests/support/disk.h"

namespace libbus::test {
namespace {

class SyncTest : public CliTest {
 protected:
  SyncTest() : CliTest(DiskParent()) {}

  std::string Create(const std::string& topic, const std::string& policy) const {
    return Out({"topic", "create", topic, "--sync", policy, "--segment-size", "64K", "--json"});
  }
  // The mark that a failed sync leaves.
  void FailSync() const { std::ofstream(Path("b/t/00000000000000000000.failed")).flush(); }

  static uint64_t NumberOf(const std::string& json, const std::string& key) {
    const size_t at = json.find("\"" + key + "\":");
    EXPECT_NE(at, std::string::npos) << key << " in " << json;
    return at == std::string::npos ? UINT64_MAX : std::strtoull(json.c_str() + at + key.size() + 3, nullptr, 10);
  }
  static void ExpectHas(const std::string& text, const std::string& part) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  }
  static void ExpectOneLine(const Result& result, int code, const std::string& text) {
    EXPECT_EQ(result.code, code) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    ExpectHas(result.err, text);
  }
};

TEST_F(SyncTest, APolicyIsKeptAndTold) {
  for (const auto& [given, kept] : std::vector<std::pair<std::string, std::string>>{{"none", "none"},
                                                                                    {"each", "each"},
                                                                                    {"10ms", "10ms"},
                                                                                    {"2s", "2s"},
                                                                                    {"1h", "1h"},
                                                                                    {"1M", "1048576 bytes"},
                                                                                    {"4096", "4096 bytes"}}) {
    const std::string topic = "t" + given;
    ExpectHas(Create(topic, given), "\"sync\":\"" + kept + "\"");
    ExpectHas(Out({"info", topic, "--json"}), "\"sync\":\"" + kept + "\"");
    ExpectHas(Out({"info", topic}), "sync           " + kept + "\n");
    ExpectHas(Out({"topic", "ls", "--json"}), "{\"topic\":\"" + topic + "\",\"sync\":\"" + kept + "\",\"durable\":64,");
  }
  Out({"topic", "create", "plain"});
  ExpectHas(Out({"info", "plain", "--json"}), "\"sync\":\"none\"");
  ExpectHas(Out({"info"}), "sync 1048576 bytes, durable up to 64: all of it");
}

TEST_F(SyncTest, APolicyThatIsNoneIsRefused) {
  for (const std::string policy : {"often", "10", "1T", "-5ms", "ms", "each,10ms", "", "0", "0s", "999us", "61m"}) {
    SCOPED_TRACE(policy);
    if (policy == "10") continue;  // ten bytes
    const Result result = Run({"topic", "create", "x", "--sync=" + policy});
    EXPECT_TRUE(result.code == 1 || result.code == 2) << result.code;
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }
  ExpectError({"topic", "create", "x", "--sync", "often"}, 2,
              "often: not a sync policy: use none, each, a time (10ms) or bytes (1M)");
  ExpectError({"topic", "create", "x", "--sync", "0"}, 1, "sync every 0 bytes: choose at least 1, or sync each record");
  ExpectError({"topic", "create", "x", "--sync", "2h"}, 1, "sync interval 2h: choose from 1ms to 1h");
  EXPECT_EQ(Out({"ls"}), "");
}

TEST_F(SyncTest, PubMakesAllOfItDurable) {
  MakeTopic();
  const std::string before = Out({"info", "t", "--json"});
  EXPECT_EQ(NumberOf(before, "end"), 160u);
  std::string lines;
  for (int i = 0; i < 5000; ++i) lines += fmt::format("line {}\n", i);
  ExpectHas(Out({"pub", "t", "--sync", "--json"}, lines), "\"published\":5000,");
  const std::string after = Out({"info", "t", "--json"});
  EXPECT_GT(NumberOf(after, "end"), 65536u * 2);  // over several segments
  EXPECT_EQ(NumberOf(after, "durable"), NumberOf(after, "end"));
  EXPECT_EQ(NumberOf(after, "behind"), 0u);
  ExpectHas(after, "\"volatile\":false");
  EXPECT_EQ(Out({"cat", "t", "--limit", "durable", "-o", "+3"}), lines);
}

TEST_F(SyncTest, WhatItDidIsTold) {
  MakeTopic();
  ExpectHas(Out({"pub", "t", "--sync", "--json"}, "x\n"), "\"last_position\":160,\"durable\":true}");
  EXPECT_EQ(Out({"pub", "t", "--json"}, "x\n").find("durable"), std::string::npos);
  const Result result = Run({"pub", "t", "--sync", "-v"}, "x\n");
  EXPECT_EQ(result.err, "bus: t: published 1 record, durable\n");
}

// A pipe that stays open: what came through it is durable while pub waits for more.
TEST_F(SyncTest, AStreamIsDurableBeforeMoreIsWaitedFor) {
  MakeTopic();
  RunningTool pub({"pub", "t", "--sync"}, scratch_.path());
  RunningTool tail({"tail", "t", "-o", "+3", "-n", "3", "--limit", "durable"}, scratch_.path());
  pub.Write("four\n");
  EXPECT_EQ(tail.ReadUntil("four\n"), "four\n");
  pub.Write("five\nsix\nand a part");
  EXPECT_EQ(tail.ReadUntil("six\n"), "four\nfive\nsix\n");
  EXPECT_EQ(tail.Wait().code, 0);
  EXPECT_EQ(pub.Wait().code, 0);
  EXPECT_EQ(Out({"cat", "t", "-o", "-1", "--limit", "durable"}), "and a part\n");
}

TEST_F(SyncTest, WithARateEachLineIsDurableBeforeTheNextIsWaitedFor) {
  MakeTopic();
  RunningTool pub({"pub", "t", "--sync", "--rate", "1/s"}, scratch_.path());
  RunningTool tail({"tail", "t", "-o", "+3", "-n", "1", "--limit", "durable"}, scratch_.path());
  pub.Write("four\nfive\nsix\nseven\neight\n");  // all there: only the rate makes it wait
  EXPECT_EQ(tail.ReadUntil("four\n"), "four\n");
  EXPECT_EQ(tail.Wait().code, 0);
  pub.Signal(SIGINT);
  EXPECT_EQ(pub.Wait().code, 130);
}

TEST_F(SyncTest, AnInterruptedPubLeavesItDurable) {
  MakeTopic();
  RunningTool pub({"pub", "t", "--sync", "--json"}, scratch_.path());
  pub.Write("four\n");
  RunningTool tail({"tail", "t", "-o", "+3", "-n", "1"}, scratch_.path());
  EXPECT_EQ(tail.ReadUntil("four\n"), "four\n");
  pub.Signal(SIGINT);
  const Result result = pub.Wait();
  EXPECT_EQ(result.code, 130);
  ExpectHas(result.out, "\"durable\":true");
  EXPECT_EQ(Out({"cat", "t", "-o", "+3", "--limit", "durable"}), "four\n");
}

TEST_F(SyncTest, LimitReadsUpToTheDurablePosition) {
  Create("t", "none");
  RunningTool pub({"pub", "t"}, scratch_.path());  // as long as it lives nothing makes it durable
  RunningTool tail({"tail", "t", "-o", "start", "-n", "2"}, scratch_.path());
  pub.Write("one\ntwo\n");
  EXPECT_EQ(tail.ReadUntil("two\n"), "one\ntwo\n");
  EXPECT_EQ(Out({"cat", "t", "--limit", "durable"}), "");
  EXPECT_EQ(Out({"cat", "t", "--limit", "committed"}), "one\ntwo\n");
  const std::string info = Out({"info", "t"});
  ExpectHas(info, "durable        up to 64, 64 bytes behind the end\n");
  Out({"pub", "t", "--sync"}, "");  // makes durable what others published too
  EXPECT_EQ(Out({"cat", "t", "--limit", "durable"}), "one\ntwo\n");
  EXPECT_EQ(pub.Wait().code, 0);
  ExpectError({"cat", "t", "--limit", "fast"}, 2, "fast: not a limit: use committed or durable");
}

TEST_F(SyncTest, APolicyMakesDurableWithoutBeingAsked) {
  for (const std::string policy : {"each", "1ms", "1"}) {
    SCOPED_TRACE(policy);
    const std::string topic = "t" + policy;
    Create(topic, policy);
    RunningTool pub({"pub", topic}, scratch_.path());
    RunningTool tail({"tail", topic, "-o", "start", "-n", "2", "--limit", "durable"}, scratch_.path());
    pub.Write("one\n");
    EXPECT_EQ(tail.ReadUntil("one\n"), "one\n");
    pub.Write("two\n");
    EXPECT_EQ(tail.ReadUntil("two\n"), "one\ntwo\n");
    EXPECT_EQ(tail.Wait().code, 0);
    EXPECT_EQ(pub.Wait().code, 0);
  }
}

// What a failed sync left makes the next one fail, in every process: one line that names the cure.
TEST_F(SyncTest, AFailedSyncIsTold) {
  MakeTopic();
  FailSync();
  const Result result = Run({"pub", "t", "--sync"}, "four\n");
  ExpectOneLine(result, 1, "bus recover t --apply");
  ExpectHas(result.err, "00000000000000000000.seg could not be written to the disk");
  EXPECT_EQ(Out({"cat", "t"}), "one\ntwo\nthree\n");  // said before anything was published
  ExpectHas(Out({"info", "t"}), "failed sync    from 0 on nothing is durable: see bus recover t --apply\n");
  ExpectHas(Out({"info", "t", "--json"}), "\"failed_sync\":0");
  EXPECT_EQ(Out({"pub", "t"}, "four\n"), "");  // the log goes on
  EXPECT_EQ(Out({"cat", "t"}), "one\ntwo\nthree\nfour\n");
}

TEST_F(SyncTest, AFailedSyncIsToldWhereThePolicyWantsEach) {
  Create("t", "each");
  FailSync();
  const Result result = Run({"pub", "t"}, "one\ntwo\n");
  ExpectOneLine(result, 1, "bus recover t --apply");
  ExpectHas(result.err, "stdin: record 1: the record at 64 is published, but not known to be durable");
}

// A copy's control file may be younger than its segments: nothing is known to be durable.
TEST_F(SyncTest, OfACopyNothingIsKnownToBeDurable) {
  MakeTopic();
  Out({"pub", "t", "--sync"}, "four\n");
  std::filesystem::copy(Path("b"), Path("copy"), std::filesystem::copy_options::recursive);
  const std::string info = Out({"info", "t", "--json", "--bus", "copy"});
  EXPECT_EQ(NumberOf(info, "durable"), 0u);
  ExpectHas(Out({"info", "t", "--bus", "copy"}), "durable        not known: the files are a copy");
}

class VolatileTest : public CliTest {
 protected:
  VolatileTest() : CliTest(MemoryParent().empty() ? DiskParent() : MemoryParent()) {}
  void SetUp() override {
    if (MemoryParent().empty()) GTEST_SKIP() << "needs a tmpfs at /dev/shm";
  }
};

TEST_F(VolatileTest, NothingIsPromisedWhereNothingIsKept) {
  MakeTopic();
  for (const std::string policy : {"each", "10ms", "1M"}) {
    const Result result = Run({"topic", "create", "u", "--sync", policy});
    EXPECT_EQ(result.code, 1);
    EXPECT_NE(result.err.find("it is volatile"), std::string::npos) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }
  EXPECT_EQ(Out({"topic", "create", "plain", "--sync", "none"}), "");
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"pub", "t", "--sync"}, {"cat", "t", "--limit", "durable"}}) {
    const Result result = Run(command, "four\n");
    EXPECT_EQ(result.code, 1);
    EXPECT_EQ(result.out, "");
    EXPECT_NE(result.err.find("it is volatile"), std::string::npos) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }
  EXPECT_EQ(Out({"cat", "t"}), "one\ntwo\nthree\n");  // nothing was published
  const std::string json = Out({"info", "t", "--json"});
  EXPECT_NE(json.find("\"durable\":0,"), std::string::npos) << json;
  EXPECT_NE(json.find("\"volatile\":true"), std::string::npos) << json;
  const std::string text = Out({"info", "t"});
  EXPECT_NE(text.find("durable        nothing: the bus lies in memory (tmpfs)"), std::string::npos) << text;
}

}  // namespace
}  // namespace libbus::test
