// A topic on a disk that fails, for tests of what the library makes of it.
#ifndef LIBBUS_TESTS_CRASH_FAULTY_BUS_H_
#define LIBBUS_TESTS_CRASH_FAULTY_BUS_H_

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "libbus/bus.h"
#include "libbus/recovery.h"
#include "tests/crash/on_faulty_disk.h"
#include "tests/support/processes.h"

namespace libbus::test {

inline constexpr uint64_t kSegmentSize = 65536;
inline constexpr uint64_t kPage = 4096;

template <typename Result>
absl::Status StatusOf(const Result& result) {
  if constexpr (std::is_same_v<Result, absl::Status>) {
    return result;
  } else {
    return result.status();
  }
}

template <typename Result>
testing::AssertionResult Succeeds(const Result& result) {
  return result.ok() ? testing::AssertionSuccess() : testing::AssertionFailure() << StatusOf(result);
}

// A failed sync, told in one line that names the cure.
template <typename Result>
testing::AssertionResult SaysUnavailable(const Result& result) {
  const absl::Status status = StatusOf(result);
  const std::string message(status.message());
  if (status.code() != absl::StatusCode::kUnavailable) return testing::AssertionFailure() << status;
  if (message.find("recover") == std::string::npos || message.find('\n') != std::string::npos) {
    return testing::AssertionFailure() << "not one line that names the cure: " << status;
  }
  return testing::AssertionSuccess();
}

inline absl::StatusOr<Topic> OpenTopic(const std::string& path, bool read_only = false) {
  auto bus = Bus::Open(path, {.create = !read_only, .read_only = read_only, .background = false});
  if (!bus.ok()) return bus.status();
  return bus->OpenTopic("t", read_only ? TopicOptions{} : TopicOptions{.create = true, .segment_size = kSegmentSize});
}

// A topic of this process with one producer.
struct Writer {
  explicit Writer(const std::string& path)
      : topic(OpenTopic(path)),
        producer(topic.ok() ? topic->NewProducer() : absl::StatusOr<Producer>(topic.status())) {}

  absl::StatusOr<Position> Publish(const std::string& text) { return producer->Publish(text); }
  absl::StatusOr<Position> PublishDurable(const std::string& text) {
    return producer->Publish(text, {.durable = true});
  }

  absl::StatusOr<Topic> topic;
  absl::StatusOr<Producer> producer;
};

// A long payload is all of one letter.
inline std::string Abbreviated(const std::string& text) {
  return text.size() < 100 ? text : fmt::format("{} times {}", text.size(), text[0]);
}

// Payloads up to the end, long ones abbreviated; a gap as "<cause>".
inline std::vector<std::string> ReadAll(Topic& topic) {
  std::vector<std::string> all;
  auto consumer = topic.NewConsumer({.to = From::End(), .gaps = Gaps::kAll});
  EXPECT_TRUE(Succeeds(consumer));
  if (!consumer.ok()) return all;
  for (const RecordView& record : consumer->Records(absl::Seconds(20))) {
    const bool gap = record.kind() == RecordKind::kGap;
    all.push_back(gap ? "<" + std::string(GapCauseName(record.gap().cause)) + ">"
                      : Abbreviated(std::string(record.text())));
  }
  EXPECT_EQ(consumer->status().code(), absl::StatusCode::kOutOfRange) << consumer->status();
  return all;
}

inline std::string First(const std::vector<std::string>& all) { return all.empty() ? "nothing" : all.front(); }

inline bool Contains(const std::vector<std::string>& all, const std::string& text) {
  return std::find(all.begin(), all.end(), text) != all.end();
}

class FaultyBusTest : public OnFaultyDisk {
 protected:
  void MakeDisk(const DiskOptions& options) override {
    ASSERT_NO_FATAL_FAILURE(OnFaultyDisk::MakeDisk(options));
    path_ = disk_->path() + "/bus";
  }

  // The first segment's file.
  std::string Segment() const { return path_ + "/t/00000000000000000000.seg"; }

  // From now on nothing that is written to the first segment, or to a part of it, arrives.
  void BreakSegment(uint64_t offset = 0, uint64_t length = UINT64_MAX) {
    ASSERT_TRUE(Succeeds(disk_->WriteAll()));
    ASSERT_TRUE(Succeeds(disk_->FailFile(Segment(), offset, length)));
  }

  // In a process of its own, younger than anything that went wrong. Says nothing new once this one has failed.
  void InNewProcess(const std::function<void()>& body) const {
    std::fflush(stdout);
    const bool failed_before = HasFailure();
    const auto run = [&] {
      body();
      return HasFailure() && !failed_before ? 1 : 0;
    };
    EXPECT_EQ(Child(run).Join(), 0);
  }

  // What the disk has, read by a process that never saw the page cache. REQUIRES: nobody has the bus open.
  std::vector<std::string> ReadFromTheDisk() {
    EXPECT_TRUE(Succeeds(disk_->Remount()));
    std::vector<std::string> all;
    auto topic = OpenTopic(path_);
    EXPECT_TRUE(Succeeds(topic));
    if (topic.ok()) all = ReadAll(*topic);
    return all;
  }

  bool IsMarked() const {
    for (const auto& entry : std::filesystem::directory_iterator(path_ + "/t")) {
      if (entry.path().extension() == ".failed") return true;
    }
    return false;
  }

  // Recovers; then all that can be read is on the disk, and so is what is published durably.
  void ExpectRecoverMends() {
    const auto report = RecoverTopic(path_, "t", {.apply = true});
    ASSERT_TRUE(Succeeds(report));
    EXPECT_TRUE(report->applied || report->clean);
    EXPECT_FALSE(IsMarked());
    std::vector<std::string> seen;
    {
      Writer writer(path_);
      ASSERT_TRUE(Succeeds(writer.producer));
      EXPECT_TRUE(Succeeds(writer.PublishDurable("after recovery")));
      EXPECT_TRUE(Succeeds(writer.topic->Sync()));
      seen = ReadAll(*writer.topic);
      EXPECT_TRUE(Contains(seen, "after recovery"));
    }
    EXPECT_EQ(ReadFromTheDisk(), seen);
  }

  std::string path_;
};

}  // namespace libbus::test

#endif  // LIBBUS_TESTS_CRASH_FAULTY_BUS_H_
