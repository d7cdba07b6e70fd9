// dump, verify and info on whole and on damaged files.
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "libbus/format/layout.h"
#include "tests/cli/tool.h"

namespace libbus::test {
namespace {

class InspectCommandsTest : public CliTest {
 protected:
  InspectCommandsTest() { MakeTopic(); }

  // A producer prepares the next segment in the background, if it lives long enough.
  static std::string Settled(std::string text) {
    for (const std::string_view count : {"1 segment ", "2 segments "}) {
      if (const size_t at = text.find(count); at != std::string::npos) text.replace(at, count.size(), "N segments ");
    }
    return text;
  }
};

TEST_F(InspectCommandsTest, DumpShowsTheBytesOfARecord) {
  const std::string dump = Out({"dump", "t", "96", "-n", "1"});
  EXPECT_EQ(dump.find("file b/t/00000000000000000000.seg: segment of topic "), 0u) << dump;
  EXPECT_NE(dump.find("position 96  offset 96  data  32 bytes, payload 3\n  00000060  33 "), std::string::npos) << dump;
  EXPECT_NE(dump.find("  00000078  74 77 6f  "), std::string::npos) << dump;
  EXPECT_NE(dump.find("payload: 3 bytes, \"two\"\n"), std::string::npos) << dump;
}

TEST_F(InspectCommandsTest, OneByteIsNotCalledBytes) {
  Out({"pub", "t"}, "x\n");
  const std::string dump = Out({"dump", "t", "160"});
  EXPECT_NE(dump.find("payload: 1 byte, \"x\"\n"), std::string::npos) << dump;
}

TEST_F(InspectCommandsTest, WhatOthersWroteDoesNotSpeakToTheTerminal) {
  // The name in the first slot of a producer, and a file beside the others.
  format::Slot slot = {.pid = 1};
  std::memcpy(slot.name, "\x1b[31m\xc2\x9bx", 8);
  const std::string bytes(reinterpret_cast<const char*>(&slot), sizeof(slot));
  Patch(Path("b/t/control"), format::kSlotsOffset + sizeof(format::Slot), bytes);
  std::ofstream(Path("b/t/odd\x1b[31m"));
  const std::string info = Out({"info", "t"});
  EXPECT_EQ(info.find('\x1b'), std::string::npos) << info;
  EXPECT_NE(info.find("\"\\x1b[31m\\xc2\\x9bx\""), std::string::npos) << info;
  const std::string verify = Out({"verify", "t"});
  EXPECT_EQ(verify.find('\x1b'), std::string::npos) << verify;
  EXPECT_NE(verify.find("odd\\x1b[31m"), std::string::npos) << verify;
}

TEST_F(InspectCommandsTest, VerifyGoesOnBehindSomethingOdd) {
  Out({"topic", "create", "a"});
  for (const std::string name : {"control", "00000000000000000000.seg", "index", "cursors"}) {
    const std::string path = Path("b/a/" + name);
    std::filesystem::remove_all(path);
    if (name == "cursors") {
      std::ofstream(path) << "x";
    } else {
      std::filesystem::create_directory(path);
    }
    const Result result = Run({"verify"});
    EXPECT_EQ(result.code, 4) << name;
    EXPECT_NE(result.out.find("b/a/" + name + ": not a "), std::string::npos) << result.out;
    EXPECT_NE(result.out.find("b: 3 records in "), std::string::npos) << result.out;
    EXPECT_EQ(result.err, "");
  }
}

TEST_F(InspectCommandsTest, WhatIsNotThereIsSaidAsByEverybody) {
  for (const std::string command : {"info", "verify", "dump", "stat", "ps", "segments"}) {
    ExpectError({command, "nosuch"}, 1, "b/nosuch: no such topic (make it with `bus topic create nosuch`)");
    ExpectError({command, "t", "--bus", "none"}, 1, "none: no such bus (make it with `bus init none`)");
  }
}

TEST_F(InspectCommandsTest, DumpAsJsonIsOneObjectALine) {
  const std::string dump = Out({"dump", "t", "96", "-n", "1", "--json"});
  EXPECT_EQ(std::count(dump.begin(), dump.end(), '\n'), 2) << dump;
  EXPECT_NE(dump.find("{\"kind\":\"data\",\"file\":\"b/t/00000000000000000000.seg\",\"offset\":96,\"size\":32,"
                      "\"position\":96,\"word\":{\"state\":\"data\",\"flags\":\"\",\"owner\":1,\"length\":3,"),
            std::string::npos)
      << dump;
  EXPECT_NE(dump.find("{\"name\":\"payload\",\"role\":\"payload\",\"offset\":120,\"size\":3,\"hex\":\"74776f\","),
            std::string::npos)
      << dump;
}

TEST_F(InspectCommandsTest, DumpAroundAPositionMarksIt) {
  const std::string dump = Out({"dump", "t", "--around", "99", "-n", "1"});
  EXPECT_NE(dump.find("\nposition 64  offset 64  data"), std::string::npos) << dump;
  EXPECT_NE(dump.find("\n==> position 96  offset 96  data"), std::string::npos) << dump;
  EXPECT_NE(dump.find("\nposition 128  offset 128  data"), std::string::npos) << dump;
  EXPECT_NE(Out({"dump", "t", "--around", "99", "-n", "0", "--json"}).find("\"marked\":true"), std::string::npos);
  EXPECT_EQ(Run({"dump", "t", "96", "--around", "99"}).code, 2);
  ExpectError({"dump", "b/t"}, 1,
              "b/t: a directory: name the topic (\"bus --bus b dump t\") or one of its files, such as b/t/control");
}

TEST_F(InspectCommandsTest, DumpTakesAnyFileOfABusAndForeignOnes) {
  EXPECT_NE(Out({"dump", "b/bus"}).find("identity of a bus"), std::string::npos);
  EXPECT_NE(Out({"dump", "b/t/control"}).find("copy B: "), std::string::npos);
  EXPECT_NE(Out({"dump", "b/t/locks"}).find("locks file"), std::string::npos);
  EXPECT_NE(Out({"dump", "b/t/sleep"}).find("sleep page"), std::string::npos);
  EXPECT_NE(Out({"dump", SegmentPath()}).find("position 96  offset 96  data"), std::string::npos);
  EXPECT_NE(Out({"dump", LIBBUS_BIN_DIR "/bus", "-n", "1"}).find("not a file of a bus: it begins with \"\\x7fELF"),
            std::string::npos);
}

TEST_F(InspectCommandsTest, DumpOfDamageSaysWhereReadingGoesOn) {
  Patch(SegmentPath(), 96 + 3, "X");
  const Result result = Run({"dump", "t", "96", "-n", "1"});
  EXPECT_EQ(result.code, 4);
  EXPECT_NE(result.out.find("damage  32 bytes: the word does not verify; reading goes on at 128"), std::string::npos)
      << result.out;
}

TEST_F(InspectCommandsTest, VerifyOfAWholeTopic) {
  EXPECT_EQ(Settled(Out({"verify", "t"})), "b/t: 3 records in N segments of 1 topic, 0 gaps: whole\n");
  EXPECT_EQ(Out({"verify", "-q"}), "");
}

TEST_F(InspectCommandsTest, VerifyTellsDamageAndWhatAReaderSees) {
  Patch(SegmentPath(), 96 + 3, "X");
  const Result result = Run({"verify", "t"});
  EXPECT_EQ(result.code, 4);
  EXPECT_EQ(Settled(result.out),
            "damage: b/t/00000000000000000000.seg: position 96 (offset 96): the word does not verify; a reader sees: a "
            "gap (damage) from 96 to 128\n"
            "b/t: 2 records in N segments of 1 topic, 0 gaps: 1 damaged place\n");
  EXPECT_NE(
      Run({"verify", "--json"})
          .out.find("{\"kind\":\"damage\",\"file\":\"b/t/00000000000000000000.seg\",\"offset\":96,\"position\":96,"),
      std::string::npos);
}

TEST_F(InspectCommandsTest, VerifyCallsWhatAKillLeavesNormal) {
  RunningTool pub({"pub", "t"}, scratch_.path());
  pub.Write("four\n");
  RunningTool tail({"tail", "t", "-n", "4"}, scratch_.path());
  tail.Wait();
  pub.Signal(SIGKILL);
  pub.Wait();
  EXPECT_EQ(Settled(Out({"verify", "t"})),
            "note: b/t: state open: normal while a writer is attached, or after a kill\n"
            "b/t: 4 records in N segments of 1 topic, 0 gaps: whole\n");
}

TEST_F(InspectCommandsTest, ACopiedBusIsVerifiedAndDumpedButNotWritten) {
  std::filesystem::copy(Path("b"), Path("copy"), std::filesystem::copy_options::recursive);
  std::filesystem::permissions(Path("copy"), std::filesystem::perms::owner_all);
  const Result verify = Run({"--bus", "copy", "verify"});
  EXPECT_EQ(verify.code, 0);
  EXPECT_EQ(verify.out.find("note: copy/t: a copy (other inode of control"), 0u) << verify.out;
  EXPECT_EQ(Run({"--bus", "copy", "dump", "t"}).code, 0);
  const std::string before = Read(Path("copy/t/control")) + Read(Path("copy/t/00000000000000000000.seg"));
  const Result pub = Run({"--bus", "copy", "pub", "t"}, "x\n");
  EXPECT_EQ(pub.code, 1);
  EXPECT_EQ(std::count(pub.err.begin(), pub.err.end(), '\n'), 1) << pub.err;
  EXPECT_EQ(Read(Path("copy/t/control")) + Read(Path("copy/t/00000000000000000000.seg")), before);
}

TEST_F(InspectCommandsTest, InfoOfABusAndATopic) {
  const std::string bus = Out({"info"});
  EXPECT_EQ(bus.find("bus            b\nuuid           "), 0u) << bus;
  EXPECT_NE(bus.find("t: positions 64 to 160, "), std::string::npos) << bus;
  EXPECT_NE(Out({"info", "--json"}).find("\"topics\":[\"t\"]}\n"), std::string::npos);
  const std::string topic = Out({"info", "t"});
  EXPECT_NE(topic.find("segment size   65536 bytes\n"), std::string::npos) << topic;
  EXPECT_NE(topic.find("positions      64 to 160\n"), std::string::npos) << topic;
  EXPECT_NE(topic.find("producers      0 alive\n"), std::string::npos) << topic;
}

TEST_F(InspectCommandsTest, InfoTellsWhoProduces) {
  RunningTool pub({"pub", "t"}, scratch_.path());
  pub.Write("four\n");
  RunningTool tail({"tail", "t", "-n", "4"}, scratch_.path());
  tail.Wait();
  const std::string json = Out({"info", "t", "--json"});
  EXPECT_NE(json.find("\"state\":\"open\""), std::string::npos) << json;
  EXPECT_NE(json.find("\"producers\":1,"), std::string::npos) << json;
  EXPECT_NE(json.find("\"alive\":true"), std::string::npos) << json;
}

}  // namespace
}  // namespace libbus::test
