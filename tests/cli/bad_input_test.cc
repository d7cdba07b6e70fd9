// Each bad input through the tool: one line that says where, what and what to do, its exit code, and nothing is lost.
#include <sys/resource.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "libbus/bus.h"
#include "libbus/format/checksum.h"
#include "libbus/format/layout.h"
#include "tests/cli/tool.h"

namespace libbus::test {
namespace {

class BadInputTest : public CliTest {
 protected:
  // One line on stderr that holds `text`, nothing on stdout.
  void ExpectOneLine(const std::vector<std::string>& arguments, int code, const std::string& text) const {
    std::string command;
    for (const std::string& argument : arguments) command += argument + " ";
    SCOPED_TRACE(command);
    const Result result = Run(arguments, "x\n");
    EXPECT_EQ(result.code, code);
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(result.err.find("bus: "), 0u) << result.err;
    EXPECT_NE(result.err.find(text), std::string::npos) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }

  // Makes a file claim a version that nobody knows yet; its checksum is right.
  template <typename T>
  void MakeNewer(const std::string& path) const {
    std::string bytes = Read(path);
    T file;
    ASSERT_GE(bytes.size(), sizeof(file));
    std::memcpy(&file, bytes.data(), sizeof(file));
    file.header.version = 2;
    file.header.incompatible = 1;
    file.checksum = format::FileChecksum(file);
    Patch(path, 0, std::string_view(reinterpret_cast<const char*>(&file), sizeof(file)));
  }
};

const std::vector<std::vector<std::string>> kReaders = {
    {"cat", "t"},  {"tail", "t"},   {"verify", "t"},       {"info", "t"},
    {"dump", "t"}, {"config", "t"}, {"cursor", "ls", "t"}, {"replay", "t", "--to", "-"}};
const std::vector<std::vector<std::string>> kAll = {{"cat", "t"},
                                                    {"tail", "t"},
                                                    {"verify", "t"},
                                                    {"info", "t"},
                                                    {"dump", "t"},
                                                    {"pub", "t"},
                                                    {"ls"},
                                                    {"topic", "create", "u"},
                                                    {"config", "t"},
                                                    {"cursor", "ls", "t"},
                                                    {"replay", "t", "--to", "-"},
                                                    {"recover", "t", "--dry-run"},
                                                    {"trim", "t", "--before", "end"},
                                                    {"topic", "rm", "t", "--yes"}};

TEST_F(BadInputTest, APathThatIsMissing) {
  for (std::vector<std::string> command : kAll) {
    command.insert(command.end(), {"--bus", "none"});
    ExpectOneLine(command, 1, "none");
  }
  EXPECT_FALSE(std::filesystem::exists(Path("none")));
}

TEST_F(BadInputTest, ADirectoryThatIsNoBus) {
  std::filesystem::create_directory(Path("plain"));
  for (std::vector<std::string> command : kAll) {
    command.insert(command.end(), {"--bus", "plain"});
    ExpectOneLine(command, 1, "not a bus");
  }
  EXPECT_TRUE(std::filesystem::is_empty(Path("plain")));
}

TEST_F(BadInputTest, AFileThatIsNoBus) {
  std::ofstream(Path("file")) << "text";
  for (std::vector<std::string> command : kAll) {
    command.insert(command.end(), {"--bus", "file"});
    ExpectOneLine(command, 1, "file");
  }
}

TEST_F(BadInputTest, ABusOfANewerVersion) {
  MakeTopic();
  MakeNewer<format::BusFile>(Path("b/bus"));
  for (const auto& command : kAll) ExpectOneLine(command, 1, "made by a newer libbus (format 2");
}

TEST_F(BadInputTest, ATopicOfANewerVersion) {
  MakeTopic();
  MakeNewer<format::ControlHeader>(Path("b/t/control"));
  for (const auto& command : kReaders) ExpectOneLine(command, 1, "made by a newer libbus (format 2");
  ExpectOneLine({"pub", "t"}, 1, "made by a newer libbus (format 2");
}

TEST_F(BadInputTest, AnIdentityThatIsDamaged) {
  MakeTopic();
  Patch(Path("b/bus"), 45, "X");
  for (const auto& command : {kAll[0], kAll[5], kAll[6]}) ExpectOneLine(command, 4, "b/bus");
  EXPECT_EQ(Run({"verify"}).code, 4);
  EXPECT_EQ(Run({"dump", "b/bus"}).code, 4);
}

TEST_F(BadInputTest, AnEmptySegment) {
  MakeTopic();
  std::ofstream(SegmentPath(), std::ios::trunc).flush();
  ExpectOneLine({"cat", "t"}, 4, "00000000000000000000.seg");
  ExpectOneLine({"pub", "t"}, 4, "00000000000000000000.seg");
  const Result verify = Run({"verify", "t"});
  EXPECT_EQ(verify.code, 4);
  EXPECT_NE(verify.out.find("the file is empty"), std::string::npos) << verify.out;
  EXPECT_EQ(Run({"dump", "t"}).code, 4);
  EXPECT_EQ(std::filesystem::file_size(SegmentPath()), 0u);
}

TEST_F(BadInputTest, ATruncatedSegment) {
  MakeTopic();
  std::filesystem::resize_file(SegmentPath(), 140);
  const std::string before = Read(SegmentPath());
  ExpectOneLine({"pub", "t"}, 4, "00000000000000000000.seg");
  const Result cat = Run({"cat", "t"});
  EXPECT_TRUE(cat.code == 3 || cat.code == 4) << cat.code;
  const Result verify = Run({"verify", "t"});
  EXPECT_EQ(verify.code, 4);
  EXPECT_NE(verify.out.find("cut off: 140 bytes instead of 65536"), std::string::npos) << verify.out;
  EXPECT_EQ(Run({"dump", "t"}).code, 4);
  EXPECT_EQ(Read(SegmentPath()), before);
}

TEST_F(BadInputTest, AControlFileOfZeros) {
  MakeTopic();
  Patch(Path("b/t/control"), 0, std::string(format::kControlSize, '\0'));
  ExpectOneLine({"cat", "t"}, 4, "control");
  ExpectOneLine({"pub", "t"}, 4, "control");
  const Result verify = Run({"verify", "t"});
  EXPECT_EQ(verify.code, 4);
  EXPECT_NE(verify.out.find("b/t/control: begins with zeros"), std::string::npos) << verify.out;
  EXPECT_NE(verify.out.find("3 records"), std::string::npos) << verify.out;
  EXPECT_NE(Run({"dump", "t"}).out.find("payload: 3 bytes, \"two\""), std::string::npos);
  EXPECT_NE(Run({"info", "t"}).out.find("unknown"), std::string::npos);
}

TEST_F(BadInputTest, NamesThatAreNone) {
  for (const std::string name : {"a/b", "..", "a.b", "bus", "a b", "\xc3\xa4", "new\nline"}) {
    for (std::vector<std::string> command :
         {std::vector<std::string>{"cat"}, {"verify", "-q"}, {"pub", "--create"}, {"topic", "create"}}) {
      command.push_back(name);
      ExpectOneLine(command, 1, "topic name");
    }
  }
  ExpectOneLine({"topic", "create", std::string(129, 'x')}, 1, "128");
  EXPECT_EQ(Out({"topic", "create", std::string(128, 'x')}), "");
  EXPECT_EQ(std::filesystem::exists(Path("a")), false);
}

TEST_F(BadInputTest, PositionsThatAreNone) {
  MakeTopic();
  ExpectOneLine({"cat", "t", "-o", "100"}, 1, "inside the record that starts at 96");
  ExpectOneLine({"cat", "t", "-o", "99999"}, 1, "beyond the end");
  ExpectOneLine({"cat", "t", "-o", "18446744073709551615"}, 1, "beyond the end");
  ExpectOneLine({"dump", "t", "100"}, 1, "position 100 is inside the record at 96: use 96");
  ExpectOneLine({"dump", "t", "99999"}, 1, "position 99999 is beyond the end");
  ExpectOneLine({"dump", "t", "1x"}, 2, "1x: not a number");
}

// Root may write everywhere: it becomes somebody else, to whom the files were given.
constexpr uid_t kNobody = 65534;
void DropRights() {
  if (geteuid() == 0 && (setgid(kNobody) != 0 || setuid(kNobody) != 0)) _exit(125);
}

TEST_F(BadInputTest, ADirectoryWithoutWritePermission) {
  using std::filesystem::perms;
  MakeTopic();
  const auto set = [](const std::string& path, perms mode) { std::filesystem::permissions(path, mode); };
  const auto give = [](const std::string& path) {
    if (geteuid() == 0) {
      ASSERT_EQ(chown(path.c_str(), kNobody, kNobody), 0);
    }
  };
  for (const auto& entry : std::filesystem::recursive_directory_iterator(scratch_.path())) {
    give(entry.path());
  }
  give(scratch_.path());
  set(Path("b"), perms::owner_read | perms::owner_exec);
  set(scratch_.path(), perms::owner_read | perms::owner_exec);
  for (const auto& [command, where] : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{"init", "new"}, "new: "}, {{"topic", "create", "u"}, "/b"}, {{"pub", "--create", "u"}, "/b"}}) {
    const Result result = Run(command, "x\n", DropRights);
    EXPECT_EQ(result.code, 1) << command[0];
    EXPECT_NE(result.err.find(where), std::string::npos) << result.err;
    EXPECT_NE(result.err.find("ermission denied"), std::string::npos) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }
  EXPECT_EQ(Run({"cat", "t"}, "", DropRights).out, "one\ntwo\nthree\n");
  set(scratch_.path(), perms::owner_all);
  set(Path("b"), perms::owner_all);
}

TEST_F(BadInputTest, NoFreeSlot) {
  rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < 1200) GTEST_SKIP() << "1,023 producers need more descriptors than this machine allows";
  MakeTopic();
  auto bus = Bus::Open(Path("b"), {.background = false});
  ASSERT_TRUE(bus.ok()) << bus.status();
  auto topic = bus->OpenTopic("t");
  ASSERT_TRUE(topic.ok()) << topic.status();
  std::vector<Producer> producers;
  for (int i = 0; i < 1023; ++i) {
    auto producer = topic->NewProducer({.name = "hoarder"});
    ASSERT_TRUE(producer.ok()) << producer.status();
    producers.push_back(*std::move(producer));
  }
  ExpectOneLine({"pub", "t"}, 1, "hoarder");
  ASSERT_TRUE(producers.back().Close().ok());
  EXPECT_EQ(Out({"pub", "t"}, "four\n"), "");
  EXPECT_EQ(Out({"cat", "t"}), "one\ntwo\nthree\nfour\n");
}

}  // namespace
}  // namespace libbus::test
