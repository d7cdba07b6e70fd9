// ps, stat and segments.
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/cli/tool.h"

namespace libbus::test {
namespace {

class WatchTest : public CliTest {
 protected:
  WatchTest() { MakeTopic(); }

  // The line of the output that has all of these in it; empty: none.
  static std::string LineWith(const std::string& out, const std::vector<std::string>& texts) {
    std::istringstream lines(out);
    for (std::string line; std::getline(lines, line);) {
      bool all = true;
      for (const std::string& text : texts) all = all && line.find(text) != std::string::npos;
      if (all) return line;
    }
    return "";
  }
  // Asks until such a line comes.
  std::string AwaitLine(const std::vector<std::string>& arguments, const std::vector<std::string>& texts) const {
    for (int tries = 0; tries < 2000; ++tries) {
      const std::string line = LineWith(Out(arguments), texts);
      if (!line.empty()) return line;
    }
    ADD_FAILURE() << "no line with " << texts.back() << " in\n" << Out(arguments);
    return "";
  }
  static double NumberIn(const std::string& line, const std::string& key) {
    const size_t at = line.find("\"" + key + "\":");
    return at == std::string::npos ? -1 : std::stod(line.substr(at + key.size() + 3));
  }
};

TEST_F(WatchTest, PsShowsWhoWaitsAndWhoIsStopped) {
  EXPECT_EQ(Out({"ps", "t"}).find("t: end 160, tail 160, durable "), 0u);
  EXPECT_NE(Out({"ps"}).find("\n  nobody\n"), std::string::npos);
  RunningTool pub({"pub", "t"}, scratch_.path());
  RunningTool tail({"tail", "t"}, scratch_.path());
  tail.ReadUntil("three\n");
  const std::string consumer =
      AwaitLine({"ps", "t", "--json"}, {"\"role\":\"consumer\"", "\"waits_for\":\"record\"", "\"waits_since\":\"20"});
  for (const auto* part :
       {"\"kind\":\"process\",\"topic\":\"t\"", "\"identified\":true,\"command\":\"bus\",\"alive\":true",
        "\"stopped\":false", "\"position\":160,\"lag_bytes\":0,\"lag_records\":0"}) {
    EXPECT_NE(consumer.find(part), std::string::npos) << consumer;
  }
  AwaitLine({"ps", "t", "--json"}, {"\"role\":\"producer\"", "\"alive\":true", "\"slot\":1", "\"stopped\":false"});
  pub.Signal(SIGSTOP);
  AwaitLine({"ps", "t", "--json"}, {"\"role\":\"producer\"", "\"stopped\":true"});
  AwaitLine({"ps", "t"}, {"bus", "producer  1:", "stopped"});
  AwaitLine({"ps", "t"}, {"bus", "consumer", "160", "0 (0 records)", "for a record, for "});
  // Who is gone is there if asked for.
  pub.Signal(SIGKILL);
  tail.Signal(SIGKILL);
  pub.Wait();
  tail.Wait();
  EXPECT_NE(Out({"ps", "t"}).find("  nobody\n"), std::string::npos);
  EXPECT_NE(LineWith(Out({"ps", "t", "-a"}), {"consumer", "gone"}), "");
  EXPECT_NE(LineWith(Out({"ps", "t", "--all", "--json"}), {"\"role\":\"producer\"", "\"alive\":false"}), "");
}

TEST_F(WatchTest, StatCountsAndWatches) {
  const std::string once = Out({"stat", "t", "--json"});
  EXPECT_EQ(NumberIn(once, "records"), 3) << once;
  EXPECT_EQ(NumberIn(once, "end"), 160) << once;
  EXPECT_EQ(once.find("records_per_s"), std::string::npos) << once;
  EXPECT_NE(Out({"stat"}).find("records              3\npositions            64 to 160\n"), std::string::npos);

  RunningTool pub({"pub", "t", "--rate", "200/s"}, scratch_.path());
  std::string lines;
  for (int i = 0; i < 5000; ++i) lines += "line\n";
  pub.Write(lines);
  const std::string watched = Out({"stat", "t", "-w", "200ms", "-n", "3", "--json"});
  EXPECT_EQ(std::count(watched.begin(), watched.end(), '\n'), 3) << watched;
  const std::string last = watched.substr(watched.rfind("{"));
  EXPECT_GT(NumberIn(last, "interval_s"), 0.19) << last;
  EXPECT_GT(NumberIn(last, "records_per_s"), 10) << last;
  EXPECT_LT(NumberIn(last, "records_per_s"), 2000) << last;
  EXPECT_EQ(NumberIn(last, "producers"), 1) << last;
  const std::string text = Out({"stat", "-w", "100ms", "-n", "2"});
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 3) << text;
  EXPECT_EQ(text.find("TOPIC   REC/S BYTES/S  SEGS    DISK PROD CONS WAKE/S SLEEP/S   GAPS  GAP/S REPAIRS"), 0u)
      << text;
}

TEST_F(WatchTest, StatSaysThatTheTopicWasRemovedOrReplaced) {
  for (const bool again : {false, true}) {
    RunningTool stat({"stat", "t", "-w", "500ms"}, scratch_.path());
    stat.ReadUntil("\n");
    Out({"topic", "rm", "t", "--yes"});
    if (again) Out({"topic", "create", "t"});
    const Result result = stat.Wait();
    EXPECT_EQ(result.code, 1);
    const std::string said =
        again ? "was replaced by another while it was watched" : "was removed while it was watched";
    EXPECT_NE(result.err.find(said), std::string::npos) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    if (!again) Out({"topic", "create", "t"});
  }
}

TEST_F(WatchTest, StatEndsWhenItIsInterrupted) {
  RunningTool stat({"stat", "t", "-w", "10ms"}, scratch_.path());
  stat.ReadUntil("\n");
  stat.Signal(SIGINT);
  const Result result = stat.Wait();
  EXPECT_EQ(result.code, 130);
  EXPECT_EQ(result.err, "");
  // And when nobody reads any more.
  RunningTool unread({"stat", "t", "-w", "10ms"}, scratch_.path());
  unread.CloseOutput();
  EXPECT_EQ(unread.Wait().code, 0);
}

TEST_F(WatchTest, WrongCountsAreShownAsUnknownRates) {
  RunningTool stat({"stat", "t", "-w", "300ms", "-n", "2", "--json"}, scratch_.path());
  // The first sample has been taken when a line is there; then the counts go back.
  Patch(Path("b/t/control"), 49152 + 448, std::string(48, '\xFF'));
  stat.ReadUntil("\n");
  Patch(Path("b/t/control"), 49152 + 448, std::string(48, '\0'));
  const Result result = stat.Wait();
  EXPECT_EQ(result.code, 0);
  const std::string last = result.out.substr(result.out.rfind("{"));
  EXPECT_EQ(NumberIn(last, "gaps"), 0) << last;
  EXPECT_EQ(last.find("gaps_per_s"), std::string::npos) << last;
}

TEST_F(WatchTest, WrongUse) {
  ExpectError({"stat", "t", "-n", "3"}, 2, "-n counts the lines of -w: name an interval, -w 1s");
  ExpectError({"stat", "t", "-w", "1ms"}, 2, "1ms: too short an interval: at least 10ms");
  EXPECT_EQ(Run({"stat", "t", "-w", "soon"}).code, 2);
  EXPECT_EQ(Run({"stat", "t", "-w", "1s", "-n", "many"}).code, 2);
  EXPECT_EQ(Run({"stat", "none"}).code, 1);
  EXPECT_EQ(Run({"ps", "none"}).code, 1);
  EXPECT_EQ(Run({"segments", "none"}).code, 1);
  EXPECT_EQ(Run({"segments"}).code, 2);
}

TEST_F(WatchTest, SegmentsTellWhatIsInThem) {
  std::string lines;
  for (int i = 0; i < 4000; ++i) lines += "a line of some text\n";
  Run({"pub", "t"}, lines);
  const std::string json = Out({"segments", "t", "--json"});
  std::istringstream in(json);
  uint64_t next = 0;
  uint64_t base = 0;
  int sealed = 0;
  for (std::string line; std::getline(in, line);) {
    EXPECT_EQ(NumberIn(line, "base"), static_cast<double>(base)) << line;
    EXPECT_EQ(NumberIn(line, "first_sequence"), static_cast<double>(next)) << line;
    EXPECT_NE(line.find("\"header_right\":true"), std::string::npos) << line;
    base = static_cast<uint64_t>(NumberIn(line, "end"));
    next += static_cast<uint64_t>(NumberIn(line, "records"));
    sealed += line.find("\"state\":\"sealed\"") != std::string::npos ? 1 : 0;
    const bool has_times = line.find("\"first_time\":\"20") != std::string::npos;
    EXPECT_EQ(has_times, NumberIn(line, "records") > 0) << line;
  }
  EXPECT_EQ(next, 4003u);
  EXPECT_GE(sealed, 2);
  const std::string text = Out({"segments", "t"});
  EXPECT_EQ(text.find("  BASE"), 0u) << text;
  EXPECT_NE(LineWith(text, {"65536", "sealed", "right"}), "") << text;
}

}  // namespace
}  // namespace libbus::test
