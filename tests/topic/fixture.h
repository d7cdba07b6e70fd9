// What the tests of the topic room share: a bus of their own, errors as people read them, bytes changed on disk.
#ifndef LIBBUS_TESTS_TOPIC_FIXTURE_H_
#define LIBBUS_TESTS_TOPIC_FIXTURE_H_

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "libbus/bus.h"
#include "libbus/format/checksum.h"
#include "libbus/format/layout.h"
#include "tests/support/processes.h"
#include "tests/support/scratch.h"

namespace libbus::test {

inline const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

template <typename R>
testing::AssertionResult Succeeds(const R& result) {
  if (result.ok()) return testing::AssertionSuccess();
  return testing::AssertionFailure() << StatusOf(result);
}

// An error with this code, told in one line that has `text` in it.
template <typename R>
testing::AssertionResult Fails(const R& result, absl::StatusCode code, std::string_view text = "") {
  const absl::Status& status = StatusOf(result);
  const std::string message(status.message());
  if (status.code() != code) return testing::AssertionFailure() << "not " << code << ": " << status;
  if (message.find(text) == std::string::npos)
    return testing::AssertionFailure() << "not \"" << text << "\": " << status;
  if (message.empty() || message.find('\n') != std::string::npos) {
    return testing::AssertionFailure() << "not one line: " << status;
  }
  return testing::AssertionSuccess();
}

// --- bytes on disk ---------------------------------------------------------------------------------------------------

inline std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void WriteFile(const std::string& path, std::string_view bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  ASSERT_TRUE(file.good()) << path;
}

inline void Patch(const std::string& path, uint64_t offset, std::string_view bytes) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(offset));
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  ASSERT_TRUE(file.good()) << path;
}

inline void Flip(const std::string& path, uint64_t offset, char bits) {
  const std::string bytes = ReadFile(path);
  ASSERT_LT(offset, bytes.size());
  Patch(path, offset, std::string(1, static_cast<char>(bytes[offset] ^ bits)));
}

// Changes the header struct at the start of a file and makes its checksum right again.
template <typename T, typename Change>
void ChangeHeader(const std::string& path, Change change) {
  const std::string bytes = ReadFile(path);
  ASSERT_GE(bytes.size(), sizeof(T));
  auto header = std::make_unique<T>();
  __builtin_memcpy(static_cast<void*>(header.get()), bytes.data(), sizeof(T));
  change(*header);
  header->checksum = format::FileChecksum(*header);
  Patch(path, 0, {reinterpret_cast<const char*>(header.get()), sizeof(T)});
}

inline std::string SegmentName(uint64_t base) {
  char name[32];
  std::snprintf(name, sizeof(name), "%020llu.seg", static_cast<unsigned long long>(base));
  return name;
}

// --- a bus -----------------------------------------------------------------------------------------------------------

// tmpfs where there is one: most tests are not about the disk.
inline std::string FastParent() { return access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"; }

inline absl::StatusOr<Topic> OpenTopic(const std::string& bus_path, const TopicOptions& options = {},
                                       const OpenOptions& open = {.background = false}) {
  absl::StatusOr<Bus> bus = Bus::Open(bus_path, open);
  if (!bus.ok()) return bus.status();
  return bus->OpenTopic("t", options);
}

// A bus with one topic "t" with segments of one page, and no background thread unless a test asks for it.
class TopicTest : public testing::Test {
 protected:
  TopicTest() : scratch_(FastParent()), bus_(scratch_ / "bus") {}

  std::string Path(const std::string& name) const { return bus_ + "/t/" + name; }

  absl::StatusOr<Topic> Make(TopicOptions options = {}, OpenOptions open = {.background = false}) const {
    open.create = true;
    options.create = true;
    if (!options.segment_size) options.segment_size = 4096;
    return OpenTopic(bus_, options, open);
  }
  absl::StatusOr<Topic> OpenReadOnly() const { return OpenTopic(bus_, {}, {.read_only = true}); }

  // What a consumer from the start to the end sees: payloads, and gaps as "<cause>".
  static std::vector<std::string> ReadAll(Topic& topic, Gaps gaps = Gaps::kAll) {
    std::vector<std::string> all;
    auto consumer = topic.NewConsumer({.to = From::End(), .gaps = gaps});
    EXPECT_TRUE(Succeeds(consumer));
    if (!consumer.ok()) return all;
    for (const RecordView& record : consumer->Records(absl::Seconds(20))) all.push_back(TextOf(record));
    EXPECT_TRUE(Fails(consumer->status(), absl::StatusCode::kOutOfRange));
    return all;
  }
  static std::string TextOf(const RecordView& record) {
    if (record.kind() == RecordKind::kData) return std::string(record.text());
    return "<" + std::string(GapCauseName(record.gap().cause)) + ">";
  }
  static std::string TextOf(const absl::StatusOr<RecordView>& record) {
    return record.ok() ? TextOf(*record) : record.status().ToString();
  }

  const Scratch scratch_;
  const std::string bus_;
};

}  // namespace libbus::test

#endif  // LIBBUS_TESTS_TOPIC_FIXTURE_H_
