// bus recover: what it says beforehand, what it does, and what the other commands say before and after.
#include <fcntl.h>
#include <fmt/format.h>
#include <pty.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>

#include "tests/cli/tool.h"
#include "tests/support/disk.h"

namespace libbus::test {
namespace {

constexpr char kCure[] = "bus recover t --apply";

// On a disk: in memory nothing is ever durable.
class RecoverTest : public CliTest {
 protected:
  RecoverTest() : CliTest(DiskParent()) { MakeTopic(); }

  // Publishes the record "four" and is killed.
  void KillWriter() const {
    RunningTool pub({"pub", "t"}, scratch_.path());
    RunningTool tail({"tail", "t", "-o", "+3", "-n", "1"}, scratch_.path());
    pub.Write("four\n");
    EXPECT_EQ(tail.ReadUntil("four\n"), "four\n");
    pub.Signal(SIGKILL);
    EXPECT_EQ(pub.Wait().code, -SIGKILL);
  }
  void CopyBus() const { std::filesystem::copy(Path("b"), Path("copy"), std::filesystem::copy_options::recursive); }
  void DamageControl() const {
    for (const uint64_t offset : {uint64_t{16384}, uint64_t{32768}}) Patch(Path("b/t/control"), offset + 40, "damage");
  }
  void FailSync() const { std::ofstream(Path("b/t/00000000000000000000.failed")).flush(); }

  // The bytes of every file below a directory.
  std::map<std::string, std::string> Snapshot(const std::string& directory = "b") const {
    std::map<std::string, std::string> files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(Path(directory))) {
      if (entry.is_regular_file()) files[entry.path()] = Read(entry.path());
    }
    return files;
  }
  // Where the last segment ends.
  uint64_t EndOfSegments(const std::string& topic = "b/t") const {
    uint64_t end = 0;
    for (const auto& entry : std::filesystem::directory_iterator(Path(topic))) {
      if (entry.path().extension() != ".seg") continue;
      end = std::max<uint64_t>(end, std::stoull(entry.path().stem()) + entry.file_size());
    }
    return end;
  }

  static uint64_t NumberOf(const std::string& json, const std::string& key) {
    const size_t at = json.find("\"" + key + "\":");
    EXPECT_NE(at, std::string::npos) << key << " in " << json;
    return at == std::string::npos ? UINT64_MAX : std::strtoull(json.c_str() + at + key.size() + 3, nullptr, 10);
  }
  static void ExpectHas(const std::string& text, const std::string& part) {
    EXPECT_NE(text.find(part), std::string::npos) << text << "has no " << part;
  }
  static void ExpectOneLine(const Result& result, int code, const std::string& text) {
    EXPECT_EQ(result.code, code) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    ExpectHas(result.err, text);
  }
  // Each byte from `from` to `end` is counted once.
  static void ExpectExact(const std::string& lines, uint64_t end) {
    const std::string json = lines.substr(lines.rfind("{\"kind\":\"summary\""));
    uint64_t sum = NumberOf(json, "overhead_bytes");
    for (const std::string key : {"records", "gaps", "dead", "torn", "rotten", "skipped", "cut"}) {
      sum += NumberOf(json, key + "_bytes");
    }
    EXPECT_EQ(NumberOf(json, "bytes"), sum) << json;
    EXPECT_EQ(NumberOf(json, "from") + sum, end) << json;
  }

  // Nothing has changed since `before`.
  void ExpectUntouched(const std::map<std::string, std::string>& before, const std::string& bus) const {
    for (const auto& [path, bytes] : Snapshot(bus)) {
      const auto old = before.find(path);
      EXPECT_TRUE(old != before.end() && old->second == bytes) << path << " has changed";
    }
    EXPECT_EQ(Snapshot(bus).size(), before.size());
  }

  // What --dry-run says, in JSON; it says it with this exit code and changes not a byte.
  std::string DryRun(int code, const std::string& bus = "b") const {
    const auto before = Snapshot(bus);
    const Result result = Run({"--bus", bus, "recover", "t", "--dry-run", "--json"});
    EXPECT_EQ(result.code, code) << result.out << result.err;
    EXPECT_EQ(result.err, "");
    ExpectUntouched(before, bus);
    ExpectHas(result.out, "\"applied\":false");
    return result.out;
  }
  // What --apply says; the topic is clean afterwards, and doing it once more does nothing.
  std::string Apply(int code, const std::string& bus = "b") const {
    const Result result = Run({"--bus", bus, "recover", "t", "--apply", "--json"});
    EXPECT_EQ(result.code, code) << result.out << result.err;
    EXPECT_EQ(result.err, "");
    ExpectHas(result.out, "\"applied\":true");
    const auto after = Snapshot(bus);
    const Result again = Run({"--bus", bus, "recover", "t", "--apply", "--json"});
    EXPECT_EQ(again.code, 0) << again.err;
    ExpectHas(again.out, "\"state\":\"clean\",\"applied\":false");
    ExpectUntouched(after, bus);
    return result.out;
  }
  // With the cure in one line, and not a byte is changed.
  void ExpectWritersRefused(const std::string& why, const std::string& bus = "b") const {
    const auto before = Snapshot(bus);
    const Result result = Run({"--bus", bus, "pub", "t"}, "refused\n");
    ExpectOneLine(result, 1, why);
    ExpectHas(result.err, kCure);
    ExpectUntouched(before, bus);
  }
};

TEST_F(RecoverTest, OneOfTheFlagsIsWanted) {
  const std::string line = "choose --dry-run (look only) or --apply (do it)";
  ExpectError({"recover", "t"}, 2, line);
  ExpectError({"recover", "t", "--dry-run", "--apply"}, 2, line);
  ExpectError({"recover", "t", "--aply"}, 2, "--aply: no such option: did you mean --apply?");
}

TEST_F(RecoverTest, WhatIsNotThereIsSaid) {
  for (const std::string flag : {"--dry-run", "--apply"}) {
    const Result topic = Run({"recover", "none", flag});
    ExpectOneLine(topic, 1, "none");
    EXPECT_EQ(topic.out, "");
    ExpectOneLine(Run({"recover", "bad/name", flag}), 1, "topic name");
    ExpectOneLine(Run({"--bus", "none", "recover", flag}), 1, "none");
    ExpectOneLine(Run({"--bus", "b/t", "recover", flag}), 1, "not a bus");
  }
}

TEST_F(RecoverTest, ACleanTopicIsLeftAlone) {
  const std::string expected =
      "topic          t\n"
      "state          clean: closed in order\n"
      "to do          nothing\n"
      "durable        up to 160\n";
  const auto before = Snapshot();
  EXPECT_EQ(Out({"recover", "t", "--dry-run"}), expected);
  EXPECT_EQ(Out({"recover", "t", "--apply"}), expected);
  EXPECT_EQ(Out({"recover", "t", "--apply", "-q"}), "");
  ExpectUntouched(before, "b");
}

TEST_F(RecoverTest, AFlippedBitOfAHeaderCostsNothingAndIsPutRight) {
  const std::string records = Out({"cat", "t"});
  const std::string segment = "b/t/00000000000000000000.seg";
  const std::string whole = Read(Path(segment));
  Patch(Path(segment), 8, std::string(1, static_cast<char>(whole[8] ^ 4)));  // the version
  EXPECT_EQ(Out({"cat", "t"}), records);
  const Result verify = Run({"verify", "t"});
  EXPECT_EQ(verify.code, 4);
  EXPECT_NE(verify.out.find("bit 2 of byte 8 of the header is flipped: \"bus recover t --apply\" puts it right"),
            std::string::npos)
      << verify.out;
  const Result dump = Run({"dump", segment});
  EXPECT_EQ(dump.code, 4);
  EXPECT_NE(dump.out.find("bit 2 of byte 8 of the header is flipped"), std::string::npos) << dump.out;
  EXPECT_NE(Out({"recover", "t", "--dry-run"}).find("to do          put bit 2 of byte 8 of "), std::string::npos);
  EXPECT_NE(Out({"recover", "t", "--dry-run", "--json"}).find("\"offset\":8,\"bit\":2}"), std::string::npos);
  EXPECT_NE(Out({"recover", "t", "--apply"}).find("done           put bit 2 of byte 8 of "), std::string::npos);
  EXPECT_EQ(Read(Path(segment)), whole);
  EXPECT_EQ(Run({"verify", "t"}).code, 0);
  EXPECT_NE(Out({"recover", "t", "--dry-run"}).find("to do          nothing"), std::string::npos);
}

TEST_F(RecoverTest, AKilledWriterLeavesNothingToSeal) {
  KillWriter();
  const uint64_t end = EndOfSegments();
  const std::string before = DryRun(0);
  ExpectHas(before, "{\"kind\":\"step\",\"topic\":\"t\",\"row\":\"tail\",\"from\":192,\"to\":192,");
  ExpectHas(before, "\"state\":\"in place\"");
  EXPECT_EQ(NumberOf(before, "records"), 4u);
  EXPECT_EQ(NumberOf(before, "records_bytes"), 128u);
  EXPECT_EQ(NumberOf(before, "tail"), 192u);
  ExpectExact(before, end);
  const std::string text = Out({"recover", "t", "--dry-run"});
  ExpectHas(text, "to do          go on in place, at 192\n");
  ExpectHas(text, "records        4, 128 bytes\n");
  ExpectHas(text, fmt::format("sum            {} bytes, from 0 to {}\n", end, end));

  const std::string after = Apply(0);
  ExpectExact(after, end);
  EXPECT_EQ(NumberOf(after, "durable"), 192u);
  EXPECT_EQ(Out({"verify", "t", "-q"}), "");
  EXPECT_EQ(Out({"cat", "t", "--limit", "durable"}), "one\ntwo\nthree\nfour\n");
}

TEST_F(RecoverTest, WhatIsInUseIsLeftAlone) {
  RunningTool pub({"pub", "t"}, scratch_.path());
  RunningTool tail({"tail", "t", "-o", "+3", "-n", "1"}, scratch_.path());
  pub.Write("four\n");
  EXPECT_EQ(tail.ReadUntil("four\n"), "four\n");
  for (const std::string flag : {"--dry-run", "--apply"}) {
    EXPECT_EQ(Out({"recover", "t", flag}),
              "topic          t\n"
              "state          in use: a process is attached for writing, so there is nothing to recover\n");
    ExpectHas(Out({"recover", "t", flag, "--json"}), "\"state\":\"in use\",\"applied\":false");
  }
  EXPECT_EQ(pub.Wait().code, 0);
}

TEST_F(RecoverTest, AfterAFailedSyncTheLivingMustEndFirst) {
  FailSync();
  RunningTool pub({"pub", "t"}, scratch_.path());
  RunningTool tail({"tail", "t", "-o", "+3", "-n", "1"}, scratch_.path());
  pub.Write("four\n");
  EXPECT_EQ(tail.ReadUntil("four\n"), "four\n");
  ExpectOneLine(Run({"recover", "t", "--apply"}), 1, "end them first");
  EXPECT_EQ(pub.Wait().code, 0);
  Apply(3);
}

// A copy of a bus that somebody was writing: read as far as it verifies, refused to writers, adopted when asked.
TEST_F(RecoverTest, ACopyIsRefusedThenAdoptedThenBothGoOn) {
  RunningTool original({"pub", "t"}, scratch_.path());
  RunningTool tail({"tail", "t", "-o", "+3", "-n", "2"}, scratch_.path());
  original.Write("four\n");
  tail.ReadUntil("four\n");
  CopyBus();
  original.Write("five\n");
  EXPECT_EQ(tail.ReadUntil("five\n"), "four\nfive\n");

  ExpectWritersRefused("no writer may go on from here", "copy");
  const Result read = Run({"--bus", "copy", "cat", "t"});
  EXPECT_EQ(read.out, "one\ntwo\nthree\nfour\n");
  const uint64_t end = EndOfSegments("copy/t");
  const std::string before = DryRun(3, "copy");
  ExpectHas(before, "\"state\":\"sealed\"");
  ExpectHas(before, "\"adopts\":true,\"failed_segments\":0,\"cause\":\"copied\"");
  ExpectHas(before, "\"row\":\"cut\",\"from\":192,\"to\":65536,");
  ExpectExact(before, end);
  const std::string after = Apply(3, "copy");
  EXPECT_EQ(NumberOf(after, "records"), 4u);
  EXPECT_EQ(NumberOf(after, "tail"), end + 64);
  ExpectExact(after, end);

  const std::string info = Out({"--bus", "copy", "info", "t"});
  ExpectHas(info, "\nsealed off     ");
  ExpectHas(info, fmt::format(", the last in epoch 2 from {} to {} (copied)\n", end == 65536 ? 192 : 65600, end));
  Out({"--bus", "copy", "pub", "t"}, "other\n");
  original.Write("six\n");
  EXPECT_EQ(original.Wait().code, 0);
  EXPECT_EQ(Out({"cat", "t"}), "one\ntwo\nthree\nfour\nfive\nsix\n");
  const Result copy = Run({"--bus", "copy", "cat", "t"});
  EXPECT_EQ(copy.code, 3);
  EXPECT_EQ(copy.out, "one\ntwo\nthree\nfour\nother\n");
  ExpectOneLine(copy, 3, "copied");
}

TEST_F(RecoverTest, ACleanCopyLosesNothing) {
  CopyBus();
  ExpectWritersRefused("no writer may go on from here", "copy");
  EXPECT_EQ(Out({"--bus", "copy", "cat", "t"}), "one\ntwo\nthree\n");
  ExpectHas(DryRun(0, "copy"), "\"state\":\"clean copy\"");
  ExpectHas(Out({"--bus", "copy", "recover", "t", "--dry-run"}),
            "to do          make the files those of a log of its own\n");
  Apply(0, "copy");
  Out({"--bus", "copy", "pub", "t"}, "other\n");
  EXPECT_EQ(Out({"--bus", "copy", "cat", "t"}), "one\ntwo\nthree\nother\n");
  const std::string info = Out({"--bus", "copy", "info", "t", "--json"});
  EXPECT_EQ(NumberOf(info, "epoch"), 2u);
  ExpectHas(info, "\"epochs\":[{\"number\":2,\"cause\":\"copied\",\"from\":160,\"to\":160}]");
}

// Its control file is replaced: whoever has it open would not see what happens then.
TEST_F(RecoverTest, ACopyThatSomebodyReadsIsNotAdopted) {
  CopyBus();
  RunningTool reader({"--bus", "copy", "tail", "t", "-o", "start"}, scratch_.path());
  EXPECT_EQ(reader.ReadUntil("three\n"), "one\ntwo\nthree\n");
  const std::string control = Read(Path("copy/t/control"));
  const Result refused = Run({"--bus", "copy", "recover", "t", "--apply"});
  ExpectOneLine(refused, 1, "a process has this topic open");
  ExpectHas(refused.err, "fuser -v");
  EXPECT_EQ(Read(Path("copy/t/control")), control);
  reader.Signal(SIGINT);
  reader.Wait();
  Apply(0, "copy");
}

// Two buses of one identity at a time: what one publishes the other does not see.
TEST_F(RecoverTest, ACopyAndItsOriginalAreWrittenSideBySide) {
  CopyBus();
  Apply(0, "copy");
  RunningTool original({"pub", "t"}, scratch_.path());
  RunningTool copy({"--bus", "copy", "pub", "t"}, scratch_.path());
  RunningTool tail({"tail", "t", "-o", "+3", "-n", "1"}, scratch_.path());
  RunningTool copy_tail({"--bus", "copy", "tail", "t", "-o", "+3", "-n", "1"}, scratch_.path());
  copy.Write("of the copy\n");
  original.Write("of the original\n");
  EXPECT_EQ(tail.ReadUntil("\n"), "of the original\n");
  EXPECT_EQ(copy_tail.ReadUntil("\n"), "of the copy\n");
  EXPECT_EQ(original.Wait().code, 0);
  EXPECT_EQ(copy.Wait().code, 0);
  EXPECT_EQ(Out({"cat", "t"}), "one\ntwo\nthree\nof the original\n");
  EXPECT_EQ(Out({"--bus", "copy", "cat", "t"}), "one\ntwo\nthree\nof the copy\n");
}

TEST_F(RecoverTest, ADeletedLocksFileOfAClosedTopic) {
  std::filesystem::remove(Path("b/t/locks"));
  ExpectWritersRefused("locks file is gone");
  EXPECT_EQ(Out({"cat", "t"}), "one\ntwo\nthree\n");
  ExpectHas(DryRun(0), "\"state\":\"clean copy\"");
  Apply(0);
  Out({"pub", "t"}, "four\n");
  EXPECT_EQ(Out({"cat", "t"}), "one\ntwo\nthree\nfour\n");
}

TEST_F(RecoverTest, ADeletedLocksFileIsNotCuredWhileSomebodyHasTheTopicOpen) {
  RunningTool pub({"pub", "t"}, scratch_.path());
  RunningTool tail({"tail", "t", "-o", "+3", "-n", "1"}, scratch_.path());
  pub.Write("four\n");
  tail.ReadUntil("four\n");
  EXPECT_EQ(tail.Wait().code, 0);
  std::filesystem::remove(Path("b/t/locks"));
  ExpectOneLine(Run({"pub", "t"}, "refused\n"), 1, "locks file is gone");
  ExpectOneLine(Run({"recover", "t", "--apply"}), 1, "a process has this topic open");
  EXPECT_FALSE(std::filesystem::exists(Path("b/t/locks")));
  pub.Signal(SIGKILL);
  pub.Wait();
  const uint64_t end = EndOfSegments();
  ExpectExact(DryRun(3), end);
  const std::string after = Apply(3);
  ExpectHas(after, "\"cause\":\"damage\"");
  ExpectExact(after, end);
  const Result cat = Run({"cat", "t"});
  EXPECT_EQ(cat.code, 3);
  EXPECT_EQ(cat.out, "one\ntwo\nthree\nfour\n");
}

TEST_F(RecoverTest, BothCopiesOfTheControlRecordAreDamaged) {
  DamageControl();
  const uint64_t end = EndOfSegments();
  const std::string before = DryRun(3);
  ExpectHas(before, "\"cause\":\"damage\",\"why\":\"both copies of its control record are damaged\"");
  ExpectHas(before, "\"row\":\"cut\",\"from\":160,");
  ExpectExact(before, end);
  ExpectExact(Apply(3), end);
  const Result cat = Run({"cat", "t"});
  EXPECT_EQ(cat.out, "one\ntwo\nthree\n");
  ExpectOneLine(cat, 3, "damage");
  Out({"pub", "t"}, "four\n");
  EXPECT_EQ(Run({"cat", "t"}).out, "one\ntwo\nthree\nfour\n");
}

TEST_F(RecoverTest, AfterAFailedSyncTheSegmentIsWrittenAnew) {
  FailSync();
  ExpectOneLine(Run({"pub", "t", "--sync"}, "x\n"), 1, kCure);
  const Result verify = Run({"verify", "t"});
  EXPECT_EQ(verify.code, 4);
  ExpectHas(verify.out, "nothing from 0 on is durable until \"bus recover t --apply\" has written it anew");
  const uint64_t end = EndOfSegments();
  const std::string before = DryRun(3);
  ExpectHas(before, "\"failed_segments\":1,\"cause\":\"sync failed\"");
  ExpectExact(before, end);
  ExpectHas(Run({"recover", "t", "--dry-run"}).out, "to do          write 1 segment anew\n");
  const std::string segment = Read(SegmentPath());
  const std::string after = Apply(3);
  ExpectExact(after, end);
  EXPECT_EQ(NumberOf(after, "durable"), NumberOf(after, "tail"));
  EXPECT_FALSE(std::filesystem::exists(Path("b/t/00000000000000000000.failed")));
  EXPECT_NE(Read(SegmentPath()), segment);  // its inode, and the END
  EXPECT_EQ(Out({"pub", "t", "--sync"}, "four\n"), "");
  const Result cat = Run({"cat", "t", "--limit", "durable"});
  EXPECT_EQ(cat.out, "one\ntwo\nthree\nfour\n");
  ExpectOneLine(cat, 3, "sync failed");
}

TEST_F(RecoverTest, OfSeveralTopicsTheWorstCounts) {
  Out({"topic", "create", "bad"});
  Out({"topic", "create", "z"});
  FailSync();
  const Result loss = Run({"recover", "--dry-run", "--json"});
  EXPECT_EQ(loss.code, 3) << loss.err;
  const std::string summary = "{\"kind\":\"summary\",\"topic\":";
  for (const std::string topic : {"bad", "t", "z"}) ExpectHas(loss.out, summary + "\"" + topic + "\"");
  ExpectHas(loss.out, "{\"kind\":\"step\",\"topic\":\"t\"");
  Patch(Path("b/bad/00000000000000000000.seg"), 0, std::string(64, '\0'));
  for (const std::string flag : {"--dry-run", "--apply"}) {
    const Result result = Run({"recover", flag});
    ExpectOneLine(result, 4, "bad");
    ExpectHas(result.out, "topic          t\n");
    ExpectHas(result.out, "topic          z\n");
  }
  EXPECT_FALSE(std::filesystem::exists(Path("b/t/00000000000000000000.failed")));
}

// A terminal sees how far it is; a file or a pipe does not.
TEST_F(RecoverTest, ProgressIsForTerminals) {
  std::string lines;
  for (int i = 0; i < 5000; ++i) lines += fmt::format("line {}\n", i);
  Out({"pub", "t"}, lines);
  DamageControl();
  int terminal = -1;
  int other_end = -1;
  ASSERT_EQ(openpty(&terminal, &other_end, nullptr, nullptr, nullptr), 0);
  const auto with_terminal = [&] { dup2(other_end, STDERR_FILENO); };
  EXPECT_EQ(Run({"recover", "t", "--dry-run", "-q"}, "", with_terminal).code, 3);
  EXPECT_EQ(Run({"recover", "t", "--dry-run"}).err, "");
  EXPECT_EQ(Run({"recover", "t", "--dry-run"}, "", with_terminal).code, 3);
  close(other_end);
  char buffer[4096];
  const ssize_t got = read(terminal, buffer, sizeof(buffer));
  close(terminal);
  ASSERT_GT(got, 0);
  const std::string shown(buffer, static_cast<size_t>(got));
  EXPECT_EQ(shown.find("\r\033[Kt "), 0u) << shown;
  ExpectHas(shown, " %  ");
  ExpectHas(shown, "iB/s");
  EXPECT_TRUE(shown.ends_with("\r\033[K")) << shown;
}

}  // namespace
}  // namespace libbus::test
