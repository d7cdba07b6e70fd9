#include "libbus/platform/mapping.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>

#include "tests/support/scratch.h"

namespace libbus::platform {
namespace {

class MappingTest : public testing::Test {
 protected:
  MappingTest() { std::ofstream(path_) << std::string(8192, 'x'); }
  test::Scratch scratch_;
  const std::string path_ = scratch_ / "file";
};

TEST_F(MappingTest, SharesWhatIsWritten) {
  const auto file = OpenFile(path_, true);
  const auto writable = Mapping::Map(*file, path_, 8192, true);
  const auto reader = Mapping::Map(*OpenFile(path_, false), path_, 8192, false);
  ASSERT_TRUE(writable.ok()) << writable.status();
  ASSERT_TRUE(reader.ok()) << reader.status();
  writable->data()[5000] = std::byte{'y'};
  EXPECT_EQ(reader->data()[5000], std::byte{'y'});
  writable->Populate(4096, 1 << 20);  // beyond the end: cut
}

TEST_F(MappingTest, RefusesToMapBeyondTheEnd) {
  const auto mapping = Mapping::Map(*OpenFile(path_, false), path_, 8193, false);
  EXPECT_EQ(mapping.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_NE(std::string(mapping.status().message()).find("truncated"), std::string::npos);
}

TEST_F(MappingTest, RefusesToMapNothing) {
  EXPECT_EQ(Mapping::Map(*OpenFile(path_, false), path_, 0, false).status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace libbus::platform
