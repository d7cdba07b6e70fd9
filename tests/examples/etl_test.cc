// The demo on small inputs of each form, with kills: its numbers are compared with what a reader of the input would
// say.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>

#include "tests/examples/program.h"
#include "tests/support/disk.h"

namespace libbus_test {
namespace {

constexpr int kKills = 5;  // of each, transform and load

struct Numbers {
  uint64_t in, out, dead;
};

std::string Verdict(Numbers numbers, uint64_t seed) {
  return fmt::format("demo: in {}, out {}, dead-lettered {}, lost 0, duplicated 0, out of order 0, kills {}, seed {}, ",
                     numbers.in, numbers.out, numbers.dead, 2 * kKills, seed);
}

// Runs the demo over `input`, which is `once` and repeated `generations` times.
Ended ExpectRight(const TempDir& dir, std::vector<std::string> input, Numbers once, uint64_t generations) {
  const uint64_t seed = Seed();
  std::vector<std::string> arguments = {"--seed",     std::to_string(seed),
                                        "--kills",    std::to_string(kKills),
                                        "--at-least", std::to_string(once.in * generations),
                                        "--dir",      dir / "demo"};
  arguments.insert(arguments.end(), input.begin(), input.end());
  const Ended ended = RunToEnd("etl_demo", arguments);
  EXPECT_EQ(ended.exit_code, 0) << ended.output << ended.errors;
  const std::string last = LastLine(ended.output);
  const Numbers all = {once.in * generations, once.out * generations, once.dead * generations};
  EXPECT_TRUE(last.starts_with(Verdict(all, seed))) << ended.output;
  EXPECT_TRUE(last.ends_with(" records/s")) << last;
  EXPECT_EQ(ended.errors, "");
  return ended;
}

TEST(Etl, Ndjson) {
  const TempDir dir;
  const std::string file = Write(dir / "events.ndjson",
                                 "{\"id\": 1, \"name\" : \"first\"}\n"
                                 "\n"    // filtered
                                 "{}\n"  // filtered
                                 "{\"id\": 2, \"tags\": [1, 2, 3]}\r\n"
                                 "{\"id\": 3, \"broken\n"  // dead
                                 "[1, 2]\n"                // dead
                                 "{\"id\": \"x\", \"t\": \"\\u00e9\"}\n"
                                 "{\"id\": 4}");  // a last line without an end
  ExpectRight(dir, {file}, {8, 4, 2}, 500);
}

TEST(Etl, Csv) {
  const TempDir dir;
  const std::string file = Write(dir / "people.csv",
                                 "name,city,born\n"
                                 "Ada,\"London, Marylebone\",1815\n"
                                 "Grace,New York,1906\n"
                                 "# a comment\n"       // filtered
                                 "Edsger,Rotterdam\n"  // dead: two cells
                                 "Kurt,\"two\nlines\",1906\n"
                                 "Al\"an,London,1912\n"  // dead: a quote in a plain cell
                                 "Emmy,,1882\n");
  ExpectRight(dir, {file}, {7, 4, 2}, 500);
}

TEST(Etl, Text) {
  const TempDir dir;
  const std::string file = Write(dir / "poem", "one  two\tthree\n\n  four  \n\xFF\xFE broken\nbell \x07\nfive\n");
  ExpectRight(dir, {file}, {6, 3, 2}, 600);
}

constexpr const char* kStatus =
    "Package: Good\nStatus: install ok installed\nVersion: 1.0-1\nInstalled-Size: 10\n"
    "Maintainer: A Person <a@example.org>\nDescription: fine\n more of it\n"
    "\n"
    "Package: gone\nStatus: deinstall ok config-files\nVersion: 1\nMaintainer: A <a@example.org>\n"  // filtered
    "\n"
    "Package: sizeless\nVersion: 2\nMaintainer: A Person <a@example.org>\n"  // dead
    "\n\n"
    "Package: nameless-maintainer\nVersion: 2\nInstalled-Size: 5\nMaintainer: nobody\n"  // dead
    "\n"
    "Package: old\nVersion: 1\nSection: contrib/oldlibs\nInstalled-Size: 1\nMaintainer: A <a@example.org>\n"  // filtered
    "\n"
    "Package: better\nVersion: 1\nSection: contrib/net\nInstalled-Size: 1\nMaintainer: A <a@example.org>\n"
    "Depends: x, y (>= 2)\n";

TEST(Etl, DpkgStatusManyTimesOverWhereThereAreNoLists) {
  const TempDir dir;
  const std::string status = Write(dir / "status", kStatus);
  ExpectRight(dir, {"--status", status, "--lists", dir / "none"}, {6, 2, 2}, 600);
}

TEST(Etl, DpkgWithPackageLists) {
  const TempDir dir;
  const std::string status = Write(dir / "status", kStatus);
  std::filesystem::create_directory(dir / "lists");
  Write(dir / "lists/example_main_binary-amd64_Packages",
        "Package: listed\nVersion: 3\nInstalled-Size: 7\nMaintainer: B <b@example.org>\n\n"
        "Package: unreachable\nVersion: 3\nInstalled-Size: 7\nMaintainer: B <b@example.org>\nHomepage: gopher://x/\n");
  Write(dir / "lists/example_InRelease", "Package: is not read\n");
  ExpectRight(dir, {"--status", status, "--lists", dir / "lists"}, {8, 3, 3}, 500);
}

TEST(Etl, RunsAgainInTheSameDirectory) {
  const TempDir dir;
  const std::string file = Write(dir / "lines.txt", "a\nb\n");
  ExpectRight(dir, {file}, {2, 2, 0}, 1000);
  ExpectRight(dir, {file}, {2, 2, 0}, 1000);
}

TEST(Etl, Durable) {
  const TempDir dir(libbus::test::DiskParent());
  const std::string file = Write(dir / "poem", "one  two\tthree\n\n  four  \n\xFF\xFE broken\nfive\n");
  const Ended ended = ExpectRight(dir, {"--durable", file}, {5, 3, 1}, 600);
  EXPECT_NE(ended.output.find("What durability cost\n\n    plain  "), std::string::npos) << ended.output;
  EXPECT_NE(ended.output.find(" times as long\n"), std::string::npos) << ended.output;
  for (const std::string topic : {"raw", "clean", "dead-letters"}) {
    // Its line ends with how much is not durable yet.
    const size_t at = ended.output.find("\n    " + topic + " ", ended.output.find("What durability cost"));
    ASSERT_NE(at, std::string::npos) << ended.output;
    const std::string line = ended.output.substr(at + 1, ended.output.find('\n', at + 1) - at - 1);
    EXPECT_TRUE(line.ends_with(" 0 bytes")) << line;
    uint64_t syncs = std::stoull(line.substr(line.find(topic) + topic.size()));
    EXPECT_GT(syncs, 0u) << line;
  }
}

TEST(Etl, DurableIsRefusedInMemory) {
  const std::string memory = libbus::test::MemoryParent();
  if (memory.empty()) GTEST_SKIP() << "needs a tmpfs at /dev/shm";
  const TempDir dir(memory);
  const std::string file = Write(dir / "lines.txt", "a\nb\n");
  const Ended ended =
      RunToEnd("etl_demo", {"--durable", "--kills", "0", "--at-least", "1", "--dir", dir / "demo", file});
  EXPECT_EQ(ended.exit_code, 1);
  EXPECT_NE(ended.errors.find("it is volatile"), std::string::npos) << ended.errors;
}

TEST(Etl, WithoutKillsASingleRecordIsEnough) {
  const TempDir dir;
  const std::string file = Write(dir / "one.txt", "only\n");
  const Ended ended =
      RunToEnd("etl_demo", {"--kills", "0", "--at-least", "1", "--seed", "7", "--dir", dir / "demo", file});
  EXPECT_EQ(ended.exit_code, 0) << ended.errors;
  EXPECT_TRUE(
      LastLine(ended.output)
          .starts_with("demo: in 1, out 1, dead-lettered 0, lost 0, duplicated 0, out of order 0, kills 0, seed 7, "))
      << ended.output;
}

TEST(Etl, AnInputTooShortToBeKilledInIsNoSuccess) {
  const TempDir dir;
  const std::string file = Write(dir / "one.txt", "only\n");
  const Ended ended = RunToEnd("etl_demo", {"--at-least", "1", "--dir", dir / "demo", file});
  EXPECT_EQ(ended.exit_code, 1);
  EXPECT_NE(ended.output.find("kills hit a stage in the middle of its work"), std::string::npos) << ended.output;
}

// One line that names the place, and the exit code.
void ExpectRefused(std::vector<std::string> arguments, int exit_code, const std::string& words) {
  const Ended ended = RunToEnd("etl_demo", std::move(arguments));
  EXPECT_EQ(ended.exit_code, exit_code) << ended.errors;
  EXPECT_EQ(ended.output, "");
  EXPECT_TRUE(ended.errors.starts_with("etl_demo: ")) << ended.errors;
  EXPECT_NE(ended.errors.find(words), std::string::npos) << ended.errors;
}

TEST(Etl, BadInputIsRefusedInOneLine) {
  const TempDir dir;
  ExpectRefused({"--dir", dir / "demo", dir / "missing"}, 1, "missing: No such file or directory");
  ExpectRefused({"--dir", dir / "demo", dir.path()}, 1, "Is a directory");
  ExpectRefused({"--dir", dir / "demo", Write(dir / "empty.txt", "")}, 1, "holds no records");
  ExpectRefused({"--dir", dir / "demo", Write(dir / "empty.csv", "a,b\n")}, 1, "holds no records");
  ExpectRefused({"--dir", dir / "demo", "--status", dir / "missing"}, 1, "missing: No such file or directory");
  ExpectRefused({"--dir", dir.path(), Write(dir / "one.txt", "x\n")}, 1, "neither empty nor of an earlier demo");
  ExpectRefused({"--seed", "x"}, 2, "--seed x: not a number");
  ExpectRefused({"--sede", "1"}, 2, "--sede");
}

TEST(Etl, AnInterruptEndsTheStagesAndSaysWhereTheLogLies) {
  const TempDir dir;
  const std::string file = Write(dir / "lines.txt", std::string(2000, 'x') + "\n");
  Program demo("etl_demo", {"--at-least", "200000", "--dir", dir / "demo", file});
  while (!demo.Line().starts_with("  log ")) {
  }
  demo.Signal(SIGINT);
  const Ended ended = demo.Wait();
  EXPECT_EQ(ended.exit_code, 130) << ended.output << ended.errors;
  EXPECT_NE(ended.errors.find("the log lies in " + (dir / "demo/bus")), std::string::npos) << ended.errors;
}

}  // namespace
}  // namespace libbus_test
