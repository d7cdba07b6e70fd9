// What an image has: all before the last flush, of the rest any part, and nothing else.
#include "tests/crash/write_log.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace libbus::test {
namespace {

constexpr uint64_t kSize = 16384;

class WriteLogTest : public testing::Test {
 protected:
  std::string At(uint64_t offset) const { return content_.substr(offset, 1); }
  // A letter in every byte of a range.
  void Fill(uint64_t offset, uint64_t length, char letter) { log_.Write(offset, std::string(length, letter)); }

  std::string content_ = std::string(kSize, '.');
  WriteLog log_ = WriteLog(content_.data(), kSize);
};

TEST_F(WriteLogTest, CutsAnywhere) {
  Fill(0, 512, 'a');
  log_.Record();
  Fill(0, 512, 'b');
  log_.Flush();
  Fill(0, 512, 'c');
  Fill(4096, 512, 'd');
  EXPECT_EQ(log_.size(), 4u);
  ASSERT_TRUE(log_.Cut(0, Leaves::kEverything, 1));
  EXPECT_EQ(At(0), "a");
  ASSERT_TRUE(log_.Cut(1, Leaves::kEverything, 1));
  EXPECT_EQ(At(0), "b");
  ASSERT_TRUE(log_.Cut(4, Leaves::kEverything, 1));
  EXPECT_EQ(At(0) + At(4096), "cd");
  EXPECT_EQ(log_.stale(), 0u);
  ASSERT_TRUE(log_.Cut(4, Leaves::kNothing, 1));
  EXPECT_EQ(At(0) + At(4096), "b.");
  EXPECT_EQ(log_.stale(), 2u);
  ASSERT_TRUE(log_.Cut(4, Leaves::kBoundary, 1));
  EXPECT_EQ(At(0) + At(4096), "b.");
  EXPECT_EQ(log_.cut(), 2u);
  EXPECT_EQ(log_.stale(), 0u);
  EXPECT_FALSE(log_.Cut(5, Leaves::kNothing, 1));
}

// An older write may be there and a newer one not, and the other way round.
TEST_F(WriteLogTest, LeavesAnyPartOfWhatWasNotFlushed) {
  log_.Record();
  Fill(0, 1024, 'a');
  Fill(0, 1024, 'b');
  Fill(4096, 512, 'c');
  std::set<std::string> sectors;
  std::set<std::string> blocks;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    ASSERT_TRUE(log_.Cut(3, Leaves::kSectors, seed));
    sectors.insert(At(0) + At(512) + At(4096));
    ASSERT_TRUE(log_.Cut(3, Leaves::kBlocks, seed));
    blocks.insert(At(0) + At(512) + At(4096));
    EXPECT_EQ(At(511), At(0));
    EXPECT_EQ(At(4096 + 512), ".");
  }
  EXPECT_EQ(sectors.size(), 3u * 3 * 2);
  EXPECT_EQ(blocks.size(), 3u * 2) << "a block is not torn";
}

TEST_F(WriteLogTest, TheSameSeedIsTheSameImage) {
  log_.Record();
  for (uint64_t i = 0; i < kSize / 512; ++i) Fill(512 * i, 512, 'a');
  ASSERT_TRUE(log_.Cut(20, Leaves::kSectors, 7));
  const std::string image = content_;
  Fill(0, kSize, 'x');  // whoever recovers there
  ASSERT_TRUE(log_.Cut(20, Leaves::kSectors, 7));
  EXPECT_EQ(content_, image);
  EXPECT_EQ(log_.size(), kSize / 512) << "an image is not recorded";
}

TEST_F(WriteLogTest, CutsAgainOnTopOfAnImage) {
  log_.Record();
  Fill(0, 512, 'a');
  log_.Flush();
  Fill(512, 512, 'b');
  ASSERT_TRUE(log_.Cut(2, Leaves::kNothing, 1));
  log_.Record();
  Fill(0, 512, 'c');
  Fill(8192, 512, 'd');
  ASSERT_TRUE(log_.Cut(2, Leaves::kNothing, 1));
  EXPECT_EQ(At(0) + At(512) + At(8192), "a..");
  ASSERT_TRUE(log_.Cut(2, Leaves::kEverything, 1));
  EXPECT_EQ(At(0) + At(512) + At(8192), "c.d");
  ASSERT_TRUE(log_.Drop());
  EXPECT_EQ(At(0) + At(512) + At(8192), "a..");
  ASSERT_TRUE(log_.Cut(3, Leaves::kEverything, 1));
  EXPECT_EQ(At(0) + At(512) + At(8192), "ab.");
  ASSERT_TRUE(log_.Drop());
  EXPECT_EQ(content_, std::string(kSize, '.'));
  EXPECT_FALSE(log_.Drop());
}

}  // namespace
}  // namespace libbus::test
