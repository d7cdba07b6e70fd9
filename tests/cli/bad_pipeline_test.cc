// What goes wrong with cursors, batches, exclusive topics, retention and the index, through the tool.
#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>

#include "tests/cli/tool.h"

namespace libbus::test {
namespace {

class BadPipelineTest : public CliTest {
 protected:
  void ExpectOneLine(const std::vector<std::string>& command, int code, const std::string& says) const {
    SCOPED_TRACE(command[0]);
    const Result result = Run(command, "x\n");
    EXPECT_EQ(result.code, code);
    EXPECT_EQ(result.out, "");
    EXPECT_NE(result.err.find(says), std::string::npos) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }

  void MakeCursor(const std::string& topic) const {
    EXPECT_EQ(Out({"cat", topic, "--cursor", "c", "--commit", "-n", "1"}), "one\n");
  }
};

TEST_F(BadPipelineTest, ACursorOfZeros) {
  MakeTopic();
  MakeCursor("t");
  const std::string file = Path("b/t/cursors/c");
  const std::string zeros(std::filesystem::file_size(file), '\0');
  Patch(file, 0, zeros);
  ExpectOneLine({"cat", "t", "--cursor", "c"}, 4, "set it anew with");
  ExpectOneLine({"cat", "t", "--cursor", "c", "--commit"}, 4, "set it anew with");
  EXPECT_EQ(Read(file), zeros) << "nobody mends it unasked";
  Out({"cursor", "seek", "t", "c", "+1"});
  EXPECT_EQ(Out({"cat", "t", "--cursor", "c"}), "two\nthree\n");
}

TEST_F(BadPipelineTest, ACursorOfAnotherTopic) {
  MakeTopic();
  MakeCursor("t");
  Out({"pub", "u", "--create"}, "one\nother\n");
  MakeCursor("u");
  std::filesystem::copy_file(Path("b/u/cursors/c"), Path("b/t/cursors/c"),
                             std::filesystem::copy_options::overwrite_existing);
  for (const std::string commit : {"-q", "--commit"}) {
    const Result result = Run({"cat", "t", "--cursor", "c", commit});
    EXPECT_NE(result.code, 0);
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_NE(result.err.find("another topic"), std::string::npos) << result.err;
  }
}

TEST_F(BadPipelineTest, ABatchLargerThanASegment) {
  Out({"topic", "create", "t", "--segment-size", "4096"});
  std::string lines;
  for (int i = 0; i < 1000; ++i) lines += "line " + std::to_string(i) + "\n";
  Out({"pub", "t", "--batch", "1000"}, lines);
  EXPECT_EQ(Out({"cat", "t"}), lines);
  EXPECT_NE(Out({"verify", "t", "--json"}).find("\"batches\":1"), std::string::npos);
  Out({"pub", "t"}, "small\n");
  EXPECT_EQ(Out({"cat", "t", "-o", "-1"}), "small\n");
}

TEST_F(BadPipelineTest, ASecondProducerOfAnExclusiveTopic) {
  Out({"topic", "create", "t", "--exclusive"});
  RunningTool first({"pub", "t"}, scratch_.path());
  first.Write("one\n");
  RunningTool tail({"tail", "t"}, scratch_.path());
  EXPECT_EQ(tail.ReadUntil("one\n"), "one\n");  // now the first has the topic
  ExpectOneLine({"pub", "t"}, 1, "this topic is exclusive and has its producer");
  ExpectOneLine({"pub", "t"}, 1, "bus pub");
  first.Write("two\n");
  EXPECT_EQ(tail.ReadUntil("two\n"), "one\ntwo\n");
  EXPECT_EQ(first.Wait().code, 0);
  Out({"pub", "t"}, "three\n");
  EXPECT_EQ(Out({"cat", "t"}), "one\ntwo\nthree\n");
}

TEST_F(BadPipelineTest, RetentionKeepsWhatACursorNeeds) {
  Out({"topic", "create", "t", "--segment-size", "4096", "--retain-bytes", "8192"});
  Out({"pub", "t"}, "one\n");
  MakeCursor("t");
  std::string lines;
  for (int i = 0; i < 2000; ++i) lines += "line " + std::to_string(i) + "\n";
  Out({"pub", "t"}, lines);
  EXPECT_EQ(Out({"cat", "t", "--cursor", "c"}), lines);
  const Result trim = Run({"trim", "t", "--before", "end"});
  EXPECT_EQ(trim.code, 1);
  EXPECT_EQ(trim.out, "t: nothing to delete: the log begins at 64\n");
  EXPECT_NE(trim.err.find("kept what cursor c needs"), std::string::npos) << trim.err;
  EXPECT_EQ(std::count(trim.err.begin(), trim.err.end(), '\n'), 1) << trim.err;
  EXPECT_EQ(Out({"cat", "t", "--cursor", "c"}), lines);
}

TEST_F(BadPipelineTest, AnIndexOfAnotherTopic) {
  std::string lines;
  for (int i = 0; i < 5000; ++i) lines += "line " + std::to_string(i) + "\n";
  for (const std::string topic : {"t", "u"}) {
    Out({"pub", topic, "--create"}, topic + "\n" + lines);
    ASSERT_TRUE(std::filesystem::exists(Path("b/" + topic + "/index")));
  }
  std::ofstream(Path("b/t/index"), std::ios::binary | std::ios::trunc) << Read(Path("b/u/index"));
  EXPECT_EQ(Out({"cat", "t", "-o", "+0", "-n", "1"}), "t\n");
  EXPECT_EQ(Out({"cat", "t", "-o", "+4999", "-n", "1"}), "line 4998\n");
  EXPECT_EQ(Out({"cat", "t", "-o", "-1"}), "line 4999\n");
  const Result verify = Run({"verify", "t"});
  EXPECT_NE(verify.out.find("index"), std::string::npos) << verify.out;
  Out({"pub", "t"}, "more\n");
  EXPECT_EQ(Out({"cat", "t", "-o", "-1"}), "more\n");
  EXPECT_EQ(Run({"verify", "t"}).code, 0) << "the writer has made it anew";
}

TEST_F(BadPipelineTest, AnExistingTopicIsNotMadeAgainWithAnotherPolicy) {
  Out({"topic", "create", "t", "--sync", "none"});
  ExpectOneLine({"topic", "create", "t", "--sync", "each"}, 1, "this topic exists already");
  ExpectOneLine({"topic", "create", "t", "--exclusive"}, 1, "this topic exists already");
  EXPECT_NE(Out({"config", "t"}).find("sync none\n"), std::string::npos);
}

}  // namespace
}  // namespace libbus::test
