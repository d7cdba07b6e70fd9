// Every block of docs/tutorial.md is run, and prints what the page says.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

namespace {

TEST(TutorialTest, EveryBlockPrintsWhatThePageSays) {
  const std::string command =
      "python3 " LIBBUS_SOURCE_DIR "/tests/docs/run_page.py " LIBBUS_SOURCE_DIR "/docs/tutorial.md " LIBBUS_BIN_DIR;
  EXPECT_EQ(std::system(command.c_str()), 0);
}

}  // namespace
