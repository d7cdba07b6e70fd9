// A dump of the surroundings of a position reads little: from the index, or one segment once.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "libbus/bus.h"
#include "libbus/inspect.h"
#include "tests/support/disk.h"
#include "tests/support/scratch.h"

namespace libbus::test {
namespace {

constexpr uint64_t kSegment = 16 << 20;

// Bytes that this process has read with read and its like.
uint64_t BytesRead() {
  std::ifstream in("/proc/self/io");
  std::string name;
  uint64_t bytes = 0;
  in >> name >> bytes;
  EXPECT_EQ(name, "rchar:");
  return bytes;
}

class DumpAroundTest : public ::testing::Test {
 protected:
  // In memory, where the index tells of all that is committed.
  DumpAroundTest() : scratch_(MemoryParent().empty() ? "/tmp" : MemoryParent()) {
    auto bus = Bus::Open(Path(), {.create = true, .background = false});
    auto topic = bus->OpenTopic("t", {.create = true, .segment_size = kSegment});
    auto producer = topic->NewProducer();
    for (int i = 0; i < 8000; ++i) {
      const auto position = producer->Publish(std::string(1000, 'x'));
      EXPECT_TRUE(position.ok()) << position.status();
      positions_.push_back(position->offset);
    }
    EXPECT_TRUE(topic->Maintain().ok());
  }
  std::string Path() const { return scratch_ / "bus"; }

  // The positions that are shown, and what that made it read.
  uint64_t ReadAround(Position position, uint64_t count, std::vector<uint64_t>& shown) {
    shown.clear();
    const uint64_t before = BytesRead();
    const auto summary = DumpTopic(Path(), "t", {.count = count, .around = position}, [&](const DumpItem& item) {
      if (item.position) shown.push_back(item.position->offset);
      return true;
    });
    EXPECT_TRUE(summary.ok()) << summary.status();
    return BytesRead() - before;
  }

  Scratch scratch_;
  std::vector<uint64_t> positions_;
};

TEST_F(DumpAroundTest, TheIndexLeadsThere) {
  std::vector<uint64_t> shown;
  const uint64_t read = ReadAround(Position{positions_[7000] + 5}, 3, shown);
  EXPECT_EQ(shown, std::vector<uint64_t>(positions_.begin() + 6997, positions_.begin() + 7004));
  EXPECT_LT(read, 2u << 20);
  // More than stand between two entries of the index.
  ReadAround(Position{positions_[7000]}, 300, shown);
  EXPECT_EQ(shown, std::vector<uint64_t>(positions_.begin() + 6700, positions_.begin() + 7301));
}

TEST_F(DumpAroundTest, WithoutAnIndexTheSegmentIsReadOnce) {
  std::filesystem::remove(Path() + "/t/index");
  std::vector<uint64_t> shown;
  const uint64_t read = ReadAround(Position{positions_[7000]}, 3, shown);
  EXPECT_EQ(shown, std::vector<uint64_t>(positions_.begin() + 6997, positions_.begin() + 7004));
  EXPECT_LT(read, positions_[7000] + (2u << 20));
}

// What a copied index says is of another log.
TEST_F(DumpAroundTest, AnIndexOfAnotherLogIsNotBelieved) {
  const std::string index = Path() + "/t/index";
  std::filesystem::copy_file(index, index + ".copy");
  std::filesystem::rename(index + ".copy", index);  // another inode: a copy
  std::vector<uint64_t> shown;
  const uint64_t read = ReadAround(Position{positions_[7000]}, 1, shown);
  EXPECT_EQ(shown, std::vector<uint64_t>(positions_.begin() + 6999, positions_.begin() + 7002));
  EXPECT_GT(read, positions_[6000]) << "the log was walked";
}

}  // namespace
}  // namespace libbus::test
