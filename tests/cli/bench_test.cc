// `bus bench` as people start it, with few records; and the benchmarks beside it, with few iterations.
#include <dirent.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/disk.h"

namespace {

struct Outcome {
  int code;  // exit code, -1: killed
  std::string output;
};

Outcome RunShell(const std::string& command) {
  Outcome outcome{-1, {}};
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return outcome;
  char buffer[4096];
  for (size_t n = 0; (n = fread(buffer, 1, sizeof(buffer), pipe)) > 0;) outcome.output.append(buffer, n);
  const int status = pclose(pipe);
  if (WIFEXITED(status)) outcome.code = WEXITSTATUS(status);
  return outcome;
}

std::string BusProgram() { return std::string(LIBBUS_BIN_DIR) + "/bus"; }

class BenchTest : public testing::Test {
 protected:
  explicit BenchTest(const std::string& parent = std::filesystem::temp_directory_path()) {
    directory_ = parent + "/libbus-test-XXXXXX";
    if (mkdtemp(directory_.data()) == nullptr) abort();
  }
  ~BenchTest() override { std::filesystem::remove_all(directory_); }

  Outcome Bench(const std::string& arguments) {
    return RunShell(fmt::format("{} bench --dir {} {} 2>&1", BusProgram(), directory_, arguments));
  }
  bool DirectoryIsEmpty() const { return std::filesystem::is_empty(directory_); }

  std::string directory_;
};

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    lines.push_back(text.substr(at, end - at));
    at = end == std::string::npos ? text.size() : end + 1;
  }
  return lines;
}

// The number behind a key of an object without nesting; -1 if there is none.
double NumberOf(const std::string& json, std::string_view key) {
  const std::string quoted = fmt::format("\"{}\":", key);
  const size_t at = json.find(quoted);
  return at == std::string::npos ? -1 : atof(json.c_str() + at + quoted.size());
}

TEST_F(BenchTest, PrintsOneObjectForEachCase) {
  const auto outcome = Bench("--json --rounds 1 --records 500 --attempts 1");
  ASSERT_EQ(outcome.code, 0) << outcome.output;
  const auto lines = Lines(outcome.output);
  ASSERT_EQ(lines.size(), 6u) << outcome.output;
  const int sizes[] = {64, 64, 1024, 1024, 65536, 65536};
  for (size_t i = 0; i < lines.size(); ++i) {
    EXPECT_EQ(NumberOf(lines[i], "size"), sizes[i]) << lines[i];
    EXPECT_NE(lines[i].find(i % 2 == 0 ? "\"wait\":\"spin\"" : "\"wait\":\"park\""), std::string::npos) << lines[i];
    EXPECT_EQ(lines[i].front(), '{');
    EXPECT_EQ(lines[i].back(), '}');
  }
  EXPECT_TRUE(DirectoryIsEmpty());
}

TEST_F(BenchTest, ReportsEveryKey) {
  const auto outcome = Bench("--json --size 64 --wait spin --rounds 3 --records 3000 --attempts 1");
  ASSERT_EQ(outcome.code, 0) << outcome.output;
  const std::string& json = outcome.output;
  EXPECT_NE(json.find("\"mode\":\"shared\""), std::string::npos) << json;
  EXPECT_EQ(NumberOf(json, "producers"), 1);
  EXPECT_EQ(NumberOf(json, "consumers"), 1);
  EXPECT_EQ(NumberOf(json, "rounds"), 3);
  EXPECT_EQ(NumberOf(json, "records"), 3000);
  for (const char* key :
       {"msgs_per_s", "undisturbed_msgs_per_s", "p50_ns", "p90_ns", "p99_ns", "p999_ns", "p9999_ns", "max_ns"})
    EXPECT_GT(NumberOf(json, key), 0) << key;
  for (const char* reference : {"ring", "journal", "checked_journal"}) {
    EXPECT_GT(NumberOf(json, fmt::format("ratio_to_{}", reference)), 0) << json;
    EXPECT_GT(NumberOf(json, fmt::format("undisturbed_ratio_to_{}", reference)), 0) << json;
  }
  EXPECT_NE(json.find("\"class\":\""), std::string::npos) << json;
  EXPECT_LE(NumberOf(json, "p50_ns"), NumberOf(json, "p90_ns"));
  EXPECT_LE(NumberOf(json, "p90_ns"), NumberOf(json, "p99_ns"));
  EXPECT_LE(NumberOf(json, "p99_ns"), NumberOf(json, "max_ns"));
}

// Beside a shared topic, in the same rounds.
TEST_F(BenchTest, RunsExclusively) {
  const auto outcome =
      Bench("--json --size 64 --wait park --mode exclusive --consumers 2 --rounds 1 --records 2000 --attempts 1");
  ASSERT_EQ(outcome.code, 0) << outcome.output;
  EXPECT_NE(outcome.output.find("\"mode\":\"exclusive\""), std::string::npos) << outcome.output;
  for (const char* reference : {"shared", "ring", "journal", "checked_journal"}) {
    EXPECT_GT(NumberOf(outcome.output, fmt::format("ratio_to_{}", reference)), 0) << outcome.output;
  }
}

TEST_F(BenchTest, RunsManyToMany) {
  for (const char* wait : {"spin", "park"}) {
    const auto outcome = Bench(fmt::format(
        "--json --size 100 --producers 3 --consumers 2 --wait {} --rounds 1 --records 3000 --attempts 1", wait));
    ASSERT_EQ(outcome.code, 0) << outcome.output;
    EXPECT_EQ(NumberOf(outcome.output, "producers"), 3);
    EXPECT_EQ(NumberOf(outcome.output, "consumers"), 2);
    EXPECT_EQ(NumberOf(outcome.output, "records"), 3000);
  }
}

TEST_F(BenchTest, PrintsATable) {
  const auto outcome = Bench("--size 64 --wait park --rounds 1 --records 500 --attempts 1");
  ASSERT_EQ(outcome.code, 0) << outcome.output;
  const auto lines = Lines(outcome.output);
  ASSERT_GT(lines.size(), 6u) << outcome.output;
  EXPECT_NE(lines[0].find("64 B, 1 producer, 1 consumer, shared, park"), std::string::npos) << lines[0];
  size_t head = 1;  // behind what is said about runs that were not left alone, if anything
  while (head < lines.size() && lines[head].find("undisturbed libbus/it") == std::string::npos) ++head;
  ASSERT_LT(head + 5, lines.size()) << outcome.output;
  const char* names[] = {"libbus", "ring", "journal", "checked_journal"};
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(lines[head + i + 1].find(names[i]), 2u) << lines[head + i + 1];
  EXPECT_NE(outcome.output.find("libbus, delays from"), std::string::npos) << outcome.output;
  EXPECT_NE(outcome.output.find(" 100.0000 % "), std::string::npos) << outcome.output;
}

TEST_F(BenchTest, RefusesWhatItCannotDo) {
  for (const char* arguments :
       {"--mode alone", "--mode exclusive --producers 2", "--wait sleep", "--size 8", "--size 17000000",
        "--rate 100000000", "--attempts 0", "--durable --rate 5", "--producers 0", "--consumers 65", "--rounds 0",
        "--size 65536 --records 100000", "surplus", "--durable --wait spin", "--durable --consumers 1",
        "--durable --mode exclusive", "--durable --size 8", "--durable --producers 0", "--durable --producers 65"}) {
    const auto outcome = Bench(arguments);
    EXPECT_EQ(outcome.code, 2) << arguments << ": " << outcome.output;
    EXPECT_EQ(Lines(outcome.output).size(), 1u) << arguments << ": " << outcome.output;
  }
  EXPECT_TRUE(DirectoryIsEmpty());
}

class DurableBenchTest : public BenchTest {
 protected:
  DurableBenchTest() : BenchTest(libbus::test::DiskParent()) {}
};

void ExpectFigures(const std::string& json, const std::string& prefix) {
  for (const char* key : {"msgs_per_s", "p50_ns", "p99_ns", "max_ns", "syncs_per_record", "written_per_record"}) {
    EXPECT_GT(NumberOf(json, prefix + key), 0) << prefix << key << " in " << json;
  }
  EXPECT_LE(NumberOf(json, prefix + "p50_ns"), NumberOf(json, prefix + "p99_ns")) << json;
  EXPECT_LE(NumberOf(json, prefix + "p99_ns"), NumberOf(json, prefix + "max_ns")) << json;
}

TEST_F(DurableBenchTest, ReportsEveryKey) {
  const auto outcome = Bench("--durable --json --size 100 --producers 3 --rounds 2 --records 300");
  ASSERT_EQ(outcome.code, 0) << outcome.output;
  const auto lines = Lines(outcome.output);
  ASSERT_EQ(lines.size(), 2u) << outcome.output;
  for (const std::string& json : lines) {
    EXPECT_EQ(NumberOf(json, "size"), 100) << json;
    EXPECT_EQ(NumberOf(json, "producers"), 3) << json;
    EXPECT_EQ(NumberOf(json, "rounds"), 2) << json;
    EXPECT_EQ(NumberOf(json, "records"), 300) << json;
    ExpectFigures(json, "");
  }
  EXPECT_NE(lines[0].find("\"sync\":\"each\""), std::string::npos) << lines[0];
  EXPECT_LE(NumberOf(lines[0], "syncs_per_record"), 2) << lines[0];
  for (const std::string reference : {"mmap_fdatasync", "write_fdatasync"}) {
    ExpectFigures(lines[0], reference + "_");
    EXPECT_EQ(NumberOf(lines[0], reference + "_syncs_per_record"), 1) << lines[0];
    EXPECT_GT(NumberOf(lines[0], "ratio_to_" + reference), 0) << lines[0];
  }
  EXPECT_NE(lines[1].find("\"sync\":\"10ms\""), std::string::npos) << lines[1];
  EXPECT_EQ(NumberOf(lines[1], "samples"), 300) << lines[1];
  EXPECT_LT(NumberOf(lines[1], "syncs_per_record"), 1) << lines[1];
  EXPECT_TRUE(DirectoryIsEmpty());
}

TEST_F(DurableBenchTest, RunsEachSizeAndNumberOfProducers) {
  const auto outcome = Bench("--durable --rounds 1 --records 32");
  ASSERT_EQ(outcome.code, 0) << outcome.output;
  for (const char* title : {"64 B, 1 producer, sync each: 1 round of 32 records", "64 B, 4 producers, sync each",
                            "64 B, 16 producers, sync 10ms", "1024 B, 1 producer, sync 10ms",
                            "1024 B, 4 producers, sync each", "1024 B, 16 producers, sync each"}) {
    EXPECT_NE(outcome.output.find(title), std::string::npos) << title << " in\n" << outcome.output;
  }
  for (const char* name : {"\n  libbus ", "\n  mmap_fdatasync ", "\n  write_fdatasync "}) {
    EXPECT_NE(outcome.output.find(name), std::string::npos) << name << " in\n" << outcome.output;
  }
}

TEST(DurableBench, IsRefusedInMemory) {
  const std::string memory = libbus::test::MemoryParent();
  if (memory.empty()) GTEST_SKIP() << "needs a tmpfs at /dev/shm";
  const auto outcome =
      RunShell(fmt::format("{} bench --dir {} --durable --size 64 --records 10 2>&1", BusProgram(), memory));
  EXPECT_EQ(outcome.code, 1) << outcome.output;
  EXPECT_EQ(Lines(outcome.output).size(), 1u) << outcome.output;
  EXPECT_NE(outcome.output.find("it is volatile"), std::string::npos) << outcome.output;
}

TEST_F(BenchTest, NamesADirectoryThatIsNotThere) {
  directory_ += "/missing";
  const auto outcome = Bench("--size 64 --records 100");
  EXPECT_EQ(outcome.code, 1) << outcome.output;
  EXPECT_EQ(Lines(outcome.output).size(), 1u) << outcome.output;
  EXPECT_NE(outcome.output.find(directory_), std::string::npos) << outcome.output;
  directory_.resize(directory_.size() - std::string_view("/missing").size());
}

// Interrupted while its files exist: none is left.
TEST_F(BenchTest, CleansUpWhenInterrupted) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    if (freopen("/dev/null", "w", stdout) == nullptr) _exit(99);
    const std::string program = BusProgram();
    execl(program.c_str(), "bus", "bench", "--dir", directory_.c_str(), "--rounds", "1000", nullptr);
    _exit(99);
  }
  int status = 0;
  while (DirectoryIsEmpty()) ASSERT_EQ(waitpid(child, &status, WNOHANG), 0) << "ended before it was interrupted";
  ASSERT_EQ(kill(child, SIGINT), 0);
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 130);
  EXPECT_TRUE(DirectoryIsEmpty());
}

void RunsTiny(const char* name) {
  const auto outcome =
      RunShell(fmt::format("{}/{} --benchmark_min_time=0.0001 --benchmark_format=csv 2>&1", LIBBUS_BIN_DIR, name));
  EXPECT_EQ(outcome.code, 0) << outcome.output;
  EXPECT_EQ(outcome.output.find("ERROR"), std::string::npos) << outcome.output;
  EXPECT_NE(outcome.output.find("/64"), std::string::npos) << outcome.output;  // a row of figures
}

TEST(Benchmarks, OfTheFormatRun) { RunsTiny("format_benchmark"); }

TEST(Benchmarks, OfATopicRun) { RunsTiny("topic_benchmark"); }

}  // namespace
