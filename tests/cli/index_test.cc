// An index as the tool shows it: whole, damaged, of another topic, gone.
#include <filesystem>

#include "tests/cli/tool.h"

namespace libbus::test {
namespace {

constexpr uint64_t kEntry = 32;
constexpr uint64_t kEntries = 2;

class IndexCommandsTest : public CliTest {
 protected:
  IndexCommandsTest() { Fill("t"); }

  // Segments of a page with seven records each, 140 KiB in all; what is durable gets into the index at the end.
  void Fill(const std::string& topic) const {
    Out({"topic", "create", topic, "--segment-size", "4096", "--retain-bytes", "1G"});
    std::string lines;
    for (int i = 0; i < 245; ++i) lines += std::to_string(1000 + i) + std::string(500, '.') + "\n";
    Publish(topic, lines);
  }

  // Durable; in memory there is no such thing, nor is it needed there.
  void Publish(const std::string& topic, const std::string& lines) const {
    const Result result = Run({"pub", topic, "--sync"}, lines);
    if (result.err.find("it is volatile") == std::string::npos) {
      EXPECT_EQ(result.code, 0) << result.err;
    } else {
      Out({"pub", topic}, lines);
    }
  }

  std::string IndexPath(const std::string& topic = "t") const { return Path("b/" + topic + "/index"); }
  static uint64_t OffsetOf(uint64_t ordinal) { return 64 + kEntry * ordinal; }

  // `verify` says this, once, and ends with this exit code.
  void ExpectVerify(int code, const std::string& line) const {
    const Result result = Run({"verify", "t"});
    EXPECT_EQ(result.code, code) << result.out;
    EXPECT_EQ(result.err, "");
    EXPECT_EQ(std::count(result.out.begin(), result.out.end(), '\n'), 2) << result.out;
    EXPECT_EQ(result.out.substr(0, result.out.find('\n')), line);
  }
  void ExpectNotUsed(const std::string& why) const {
    SCOPED_TRACE(why);
    ExpectVerify(0, "note: b/t/index: " + why +
                        ": it is not used: the next writer makes it anew, or delete it: nothing else is lost");
    EXPECT_EQ(Out({"info", "t"}).find("\nindex  "), std::string::npos);
    EXPECT_EQ(Out({"cat", "t", "-o", "+200", "-n", "1"}).substr(0, 5), "1200.") << "found without it";
  }
};

TEST_F(IndexCommandsTest, InfoTellsHowFarItReachesAndWhatIsRetained) {
  const std::string text = Out({"info", "t"});
  EXPECT_NE(text.find("\nindex          2 entries, up to 131136\n"), std::string::npos) << text;
  EXPECT_NE(text.find("\nretained       1073741824 bytes\n"), std::string::npos) << text;
  const std::string json = Out({"info", "t", "--json"});
  EXPECT_NE(json.find("\"index_entries\":2,\"index_end\":131136"), std::string::npos) << json;
  EXPECT_NE(json.find("\"retain_bytes\":1073741824,\"retain_age_ns\":0"), std::string::npos) << json;
  std::filesystem::remove(IndexPath());
  EXPECT_EQ(Out({"info", "t"}).find("\nindex  "), std::string::npos);
  EXPECT_EQ(Out({"info", "t", "--json"}).find("index_"), std::string::npos);
}

TEST_F(IndexCommandsTest, DumpShowsEachEntry) {
  const std::string dump = Out({"dump", "b/t/index"});
  EXPECT_EQ(dump.find("file b/t/index: index of a topic"), 0u) << dump;
  EXPECT_NE(dump.find("index header\n"), std::string::npos) << dump;
  EXPECT_NE(dump.find("entry 0: sequence 112 stands at 65600\n"), std::string::npos) << dump;
  EXPECT_NE(dump.find("entry 1: sequence 224 stands at 131136\n"), std::string::npos) << dump;
  EXPECT_NE(dump.find(": this file's\n"), std::string::npos) << dump;
  const std::string json = Out({"dump", "b/t/index", "--json"});
  EXPECT_EQ(std::count(json.begin(), json.end(), '\n'), 2 + static_cast<int>(kEntries)) << json;
  EXPECT_NE(json.find("{\"kind\":\"index entry\",\"file\":\"b/t/index\",\"offset\":96,\"size\":32,"), std::string::npos)
      << json;
  EXPECT_NE(json.find("\"meaning\":\"131136\",\"right\":true"), std::string::npos) << json;
  ExpectError({"dump", "b/t/index", "-n", "1"}, 1,
              "b/t/index: holds no records: leave out the position and the number of records");
}

TEST_F(IndexCommandsTest, DumpAndVerifyOfADamagedEntry) {
  Patch(IndexPath(), OffsetOf(0) + 8, "X");
  const Result dump = Run({"dump", "b/t/index"});
  EXPECT_EQ(dump.code, 4);
  EXPECT_NE(dump.out.find("entry 0: sequence 88 stands at 65600\n"), std::string::npos) << dump.out;
  const size_t wrong = dump.out.find("<-- WRONG");
  ASSERT_NE(wrong, std::string::npos) << dump.out;
  EXPECT_LT(wrong, dump.out.find("entry 1: sequence 224 stands at 131136\n"));
  EXPECT_EQ(dump.out.find("<-- WRONG", wrong + 1), std::string::npos) << "the other is right";
  ExpectVerify(0,
               "note: b/t/index: 1 of 2 entries do not verify: the next writer makes it anew, or delete it: nothing "
               "else is lost");
  EXPECT_EQ(Out({"cat", "t", "-o", "+200", "-n", "1"}).substr(0, 5), "1200.");
}

TEST_F(IndexCommandsTest, WhatIsNotAnEntryIsShownAsBytes) {
  std::filesystem::resize_file(IndexPath(), OffsetOf(1) + 7);
  const Result dump = Run({"dump", "b/t/index"});
  EXPECT_NE(dump.out.find("a part of an entry"), std::string::npos) << dump.out;
  EXPECT_NE(Out({"info", "t"}).find("\nindex          1 entry, up to 65600\n"), std::string::npos);
  EXPECT_EQ(Out({"verify", "t", "-q"}), "");
}

TEST_F(IndexCommandsTest, VerifyNamesAnIndexThatIsNotUsed) {
  const std::string whole = Read(IndexPath());
  Patch(IndexPath(), 0, std::string(whole.size(), '\0'));
  ExpectNotUsed("begins with zeros");
  std::filesystem::resize_file(IndexPath(), 63);
  ExpectNotUsed("too short for a header");
  std::filesystem::remove(IndexPath());
  Fill("u");
  std::filesystem::rename(IndexPath("u"), IndexPath());
  ExpectNotUsed("of another topic");
}

TEST_F(IndexCommandsTest, ACopyIsNotUsedAndMadeAnewByTheNextWriter) {
  std::filesystem::rename(IndexPath(), Path("original"));  // which keeps its inode
  std::filesystem::copy_file(Path("original"), IndexPath());
  ExpectNotUsed("a copy");
  const Result dump = Run({"dump", "b/t/index"});
  EXPECT_NE(dump.out.find("so it is a copy, and not used"), std::string::npos) << dump.out;
  Publish("t", "more\n");
  EXPECT_NE(Out({"info", "t"}).find("\nindex          2 entries, up to 131136\n"), std::string::npos);
  EXPECT_EQ(Out({"verify", "t", "-q"}), "");
}

}  // namespace
}  // namespace libbus::test
