// A file system that is too small for a bus: the suite says so, and does the rest.
#include "tests/crash/small_disk.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <stdio.h>
#include <sys/wait.h>

#include <string>

namespace {

TEST(Suite, GoesOnWhereThereIsNoRoom) {
  const std::string missing = libbus::test::SmallDisk::WhyNot("tmpfs");
  if (!missing.empty()) GTEST_SKIP() << missing;
  const libbus::test::SmallDisk disk("tmpfs");
  const std::string command =
      fmt::format("{}/bench_suite --records 20 --rounds 1 --attempts 1 --dir {} 2>&1", LIBBUS_BIN_DIR, disk.path());
  FILE* pipe = popen(command.c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  std::string output;
  char buffer[4096];
  for (size_t n = 0; (n = fread(buffer, 1, sizeof(buffer), pipe)) > 0;) output.append(buffer, n);
  const int status = pclose(pipe);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 1) << output;
  EXPECT_NE(output.find("memcpy, one process"), std::string::npos) << output;
  EXPECT_NE(output.find("64 B, 1 to 1: not measured: libbus: "), std::string::npos) << output;
  EXPECT_NE(output.find("durable, 64 B, 16 producers: not measured: "), std::string::npos) << output;
}

}  // namespace
