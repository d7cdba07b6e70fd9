// `bus dump --json` says enough for another program to check every byte of a file against docs/format.md:
// dump_checker.py is one, written from the page.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "libbus/bus.h"
#include "libbus/format/checksum.h"
#include "libbus/format/layout.h"
#include "tests/support/processes.h"
#include "tests/support/scratch.h"

namespace libbus::test {
namespace {

namespace fs = std::filesystem;

struct Outcome {
  int code = -1;
  std::string output;
};

Outcome Shell(const std::string& command) {
  Outcome outcome;
  FILE* pipe = popen((command + " 2>&1 </dev/null").c_str(), "r");
  if (pipe == nullptr) return outcome;
  char buffer[4096];
  for (size_t n; (n = fread(buffer, 1, sizeof(buffer), pipe)) > 0;) outcome.output.append(buffer, n);
  const int status = pclose(pipe);
  outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
  return outcome;
}

std::vector<std::string> FilesIn(const std::string& directory) {
  std::vector<std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string ReadFile(const std::string& path) {
  std::ostringstream out;
  out << std::ifstream(path, std::ios::binary).rdbuf();
  return out.str();
}

void WriteFile(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

class DumpJsonTest : public ::testing::Test {
 protected:
  Outcome Check(const std::vector<std::string>& files, const std::string& tool = LIBBUS_BIN_DIR "/bus") {
    return Shell(fmt::format("python3 -B '{0}/tests/docs/dump_checker.py' '{0}/docs/format.md' '{1}' '{2}'",
                             LIBBUS_SOURCE_DIR, tool, fmt::join(files, "' '")));
  }
  void ExpectRight(const std::vector<std::string>& files) {
    ASSERT_FALSE(files.empty());
    const Outcome outcome = Check(files);
    EXPECT_EQ(outcome.code, 0) << outcome.output;
    EXPECT_EQ(std::count(outcome.output.begin(), outcome.output.end(), '\n'), static_cast<long>(files.size()));
  }

  // Everything that a topic may hold.
  void Fill(Topic& topic) {
    auto producer = topic.NewProducer({.name = "filler"});
    ASSERT_TRUE(producer.ok()) << producer.status();
    const Header headers[] = {{"name", "value"}, {"empty", ""}};
    for (int i = 0; i < 20; ++i) {
      ASSERT_TRUE(producer->Publish(fmt::format("record {}", i), {.key = "k", .headers = headers, .type = 7}).ok());
      ASSERT_TRUE(producer->Publish("").ok());
      auto claim = producer->Claim(60 + static_cast<size_t>(i), {.source = Position{99}, .producer = "me"});
      ASSERT_TRUE(claim.ok());
      std::memset(claim->bytes().data(), 'c', claim->bytes().size());
      if (i % 3 == 0) {
        ASSERT_TRUE(std::move(*claim).Abandon().ok());
      } else {
        ASSERT_TRUE(std::move(*claim).Commit(40).ok());
      }
    }
    ASSERT_TRUE(producer->Publish(std::string(3000, '\0')).ok());
    ASSERT_TRUE(producer->Publish(std::string(100'000, 'x')).ok());
  }

  Scratch scratch_;
};

TEST_F(DumpJsonTest, TheFilesOfOlderBuilds) {
  for (const std::string name : {"v1", "v1-batch", "v1-retention"}) {
    ExpectRight(FilesIn(fmt::format("{}/tests/golden/{}", LIBBUS_SOURCE_DIR, name)));
  }
}

TEST_F(DumpJsonTest, TheFilesOfABusInUse) {
  auto bus = Bus::Open(scratch_ / "bus", {.create = true, .background = false});
  ASSERT_TRUE(bus.ok()) << bus.status();
  auto shared = bus->OpenTopic("shared", {.create = true, .segment_size = 16384, .claim_timeout = absl::Minutes(90)});
  auto exclusive = bus->OpenTopic("exclusive", {.create = true, .retain_age = absl::Hours(1), .exclusive = true});
  ASSERT_TRUE(shared.ok() && exclusive.ok());
  ASSERT_NO_FATAL_FAILURE(Fill(*shared));
  ASSERT_NO_FATAL_FAILURE(Fill(*exclusive));
  auto consumer = shared->NewConsumer({.cursor = "reader"});
  ASSERT_TRUE(consumer.ok()) << consumer.status();
  ASSERT_TRUE(consumer->Next(absl::ZeroDuration()).ok());
  ASSERT_TRUE(consumer->Commit().ok());
  ASSERT_TRUE(shared->Maintain().ok());
  auto producer = shared->NewProducer();
  ASSERT_TRUE(producer.ok());
  Batch batch = producer->NewBatch();
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(batch.Add(std::string(static_cast<size_t>(i), 'b')).ok());
  ASSERT_TRUE(batch.Commit().ok());
  const auto open = producer->Claim(100);
  ASSERT_TRUE(open.ok());
  ExpectRight(FilesIn(scratch_ / "bus"));
}

TEST_F(DumpJsonTest, AMarkOfAFailedSyncAndAForeignFile) {
  format::SyncFailedFile mark = {};
  mark.header.magic = format::kSyncFailedMagic;
  mark.header.version = format::kFormatVersion;
  mark.time = 1'700'000'000'000'000'001;
  mark.error = 5;
  mark.checksum = format::FileChecksum(mark);
  WriteFile(scratch_ / "00000000000000000000.failed", std::string(reinterpret_cast<const char*>(&mark), sizeof(mark)));
  WriteFile(scratch_ / "foreign", "text" + std::string(200'000, '\0') + "more");
  WriteFile(scratch_ / "empty", "");
  ExpectRight(FilesIn(scratch_.path()));
}

// Damage of every kind: the dump ends it where the page says, and calls nothing right that is not.
TEST_F(DumpJsonTest, DamagedFiles) {
  std::mt19937_64 random(Seed("DumpJsonTest.DamagedFiles"));
  std::vector<std::string> files;
  for (const std::string name : {"v1/events", "v1-batch/batches", "v1-retention/kept"}) {
    for (const std::string& file : FilesIn(fmt::format("{}/tests/golden/{}", LIBBUS_SOURCE_DIR, name))) {
      const std::string whole = ReadFile(file);
      for (int round = 0; round < 3; ++round) {
        std::string bytes = whole;
        for (uint64_t hits = 1 + random() % 3; hits > 0; --hits) {
          // Where something stands, mostly; never in the magic, which says what it is.
          const uint64_t limit = random() % 4 == 0 ? bytes.size() : std::min<uint64_t>(bytes.size(), 700);
          if (limit > 16) bytes[16 + random() % (limit - 16)] = static_cast<char>(random());
        }
        files.push_back(fmt::format("{}/{}-{}", scratch_.path(), files.size(), fs::path(file).filename().string()));
        WriteFile(files.back(), bytes);
      }
    }
  }
  ExpectRight(files);
}

// The checker is worth something only if it finds what does not fit.
TEST_F(DumpJsonTest, WhatDoesNotFitIsFound) {
  const std::string file = LIBBUS_SOURCE_DIR "/tests/golden/v1/events/00000000000000000000.seg";
  for (const std::string change :
       {"3d", "s/\"name\":\"type\"/\"name\":\"tipe\"/", "s/\"computed\":[0-9]*/\"computed\":1/",
        "s/\"name\":\"timestamp\",\"role\":\"time\",\"offset\":\\([0-9]*\\),\"size\":8/\"name\":\"timestamp\",\"role\":"
        "\"time\",\"offset\":\\1,\"size\":9/",
        "s/, owner 1, /, owner 2, /", "s/\"check_computed\":[0-9]*/\"check_computed\":300/",
        "s/\"zeros\":[0-9]*/\"zeros\":5/", "s/\"meaning\":\"20[0-9-]*T/\"meaning\":\"1999-01-01T/"}) {
    const std::string tool = scratch_ / "tool";
    WriteFile(tool, fmt::format("#!/bin/sh\n'{}/bus' \"$@\" | sed '{}'\n", LIBBUS_BIN_DIR, change));
    fs::permissions(tool, fs::perms::owner_all);
    const Outcome outcome = Check({file}, tool);
    EXPECT_EQ(outcome.code, 1) << change << "\n" << outcome.output;
    EXPECT_NE(outcome.output.find("WRONG"), std::string::npos) << change << "\n" << outcome.output;
  }
}

}  // namespace
}  // namespace libbus::test
