// What the tool does when its reader is slow, stuck, or gone.
#include <string>
#include <thread>

#include "tests/cli/tool.h"

namespace libbus::test {
namespace {

// A topic of ten records that together are far more than a pipe holds.
class ReaderLeavesTest : public CliTest {
 protected:
  ReaderLeavesTest() {
    Out({"topic", "create", "big", "--segment-size", "1M"});
    std::string lines;
    for (char c = '0'; c <= '9'; ++c) lines += std::string(kSize, c) + "\n";
    Out({"pub", "big"}, lines);
  }

  // Until the pipe from the tool holds all that it can.
  static void WaitUntilStuck(const RunningTool& tool) {
    for (size_t last = 0, now = 0; now == 0 || now != last; last = now, now = tool.Pending()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  }

  static constexpr size_t kSize = 40'000;
};

TEST_F(ReaderLeavesTest, AnInterruptLeavesWholeRecordsAndTheCursorBehindThem) {
  RunningTool cat({"cat", "big", "--cursor", "c", "--commit"}, scratch_.path());
  WaitUntilStuck(cat);
  cat.Signal(SIGINT);
  const Result result = cat.Wait();
  EXPECT_EQ(result.code, 130) << result.err;
  ASSERT_FALSE(result.out.empty());
  EXPECT_EQ(result.out.size() % (kSize + 1), 0u);
  EXPECT_EQ(result.out.size() + Out({"cat", "big", "--cursor", "c"}).size(), 10 * (kSize + 1));
}

TEST_F(ReaderLeavesTest, AnInterruptedReplaySaysWhereToGoOn) {
  RunningTool replay({"replay", "big", "--to", "-"}, scratch_.path());
  WaitUntilStuck(replay);
  replay.Signal(SIGINT);
  const Result result = replay.Wait();
  EXPECT_EQ(result.code, 130);
  EXPECT_EQ(result.out.size() % (kSize + 1), 0u);
  const size_t at = result.err.find("go on with -o ");
  ASSERT_NE(at, std::string::npos) << result.err;
  const std::string place = result.err.substr(at + 14, result.err.find_first_not_of("0123456789", at + 14) - at - 14);
  EXPECT_EQ(result.out.size() + Out({"cat", "big", "-o", place}).size(), 10 * (kSize + 1));
}

TEST_F(ReaderLeavesTest, AFollowerWithoutAReaderEndsThoughNothingComes) {
  RunningTool tail({"tail", "big", "-n", "100"}, scratch_.path());
  WaitUntilStuck(tail);
  tail.CloseOutput();
  EXPECT_EQ(tail.Wait().code, 0);
}

TEST_F(ReaderLeavesTest, AFailureIsNotHidden) {
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"pub", "big", "no-such-file", "--json"}, {"verify", "--json"}}) {
    Patch(Path("b/big/00000000000000000000.seg"), 64 + 24, "X");
    RunningTool tool(arguments, scratch_.path());
    tool.CloseOutput();
    EXPECT_EQ(tool.Wait().code, arguments[0] == "pub" ? 1 : 4) << arguments[0];
  }
}

}  // namespace
}  // namespace libbus::test
