// The fixture of tests on a disk that can be made to fail.
#ifndef LIBBUS_TESTS_CRASH_ON_FAULTY_DISK_H_
#define LIBBUS_TESTS_CRASH_ON_FAULTY_DISK_H_

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "tests/crash/faulty_disk.h"

namespace libbus::test {

// Skips where there can be no such disk.
class OnFaultyDisk : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string missing = FaultyDisk::WhyNot(); !missing.empty()) GTEST_SKIP() << missing;
    MakeDisk({});
  }

  // Virtual, so that SetUp calls what a fixture puts on it as well.
  virtual void MakeDisk(const DiskOptions& options) {
    auto disk = FaultyDisk::Make(options);
    ASSERT_TRUE(disk.ok()) << disk.status();
    disk_ = *std::move(disk);
  }

  std::unique_ptr<FaultyDisk> disk_;
};

}  // namespace libbus::test

#endif  // LIBBUS_TESTS_CRASH_ON_FAULTY_DISK_H_
