#include "libbus/platform/ofd_lock.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/processes.h"
#include "tests/support/scratch.h"

namespace libbus::platform {
namespace {

using test::Child;
using test::Scratch;

class OfdLock : public testing::Test {
 protected:
  OfdLock() { std::ofstream(path_) << "locks"; }
  LockFile Open() const { return *LockFile::Open(path_); }

  Scratch scratch_;
  const std::string path_ = scratch_ / "locks";
};

TEST_F(OfdLock, ConflictsWithinOneProcess) {
  const LockFile a = Open();
  const LockFile b = Open();
  EXPECT_TRUE(*a.TryExclusive(7));
  EXPECT_FALSE(*b.TryExclusive(7));
  EXPECT_FALSE(*b.TryShared(7));
  EXPECT_TRUE(*b.TryExclusive(8));
}

TEST_F(OfdLock, ConvertsBothWays) {
  const LockFile a = Open();
  const LockFile b = Open();
  ASSERT_TRUE(*a.TryExclusive(0));
  EXPECT_TRUE(*a.TryShared(0));
  EXPECT_TRUE(*b.TryShared(0));
  EXPECT_FALSE(*a.TryExclusive(0));
  b.Unlock(0);
  EXPECT_TRUE(*a.TryExclusive(0));
}

TEST_F(OfdLock, ProbeSeesOthersAndNotItself) {
  const LockFile a = Open();
  const LockFile probe = Open();
  EXPECT_FALSE(probe.Probe(3));
  ASSERT_TRUE(*a.TryExclusive(3));
  EXPECT_TRUE(probe.Probe(3));
  EXPECT_FALSE(a.Probe(3));  // why probes need a description that holds none
}

TEST_F(OfdLock, GoesWithItsHolder) {
  Child holder([&] {
    const LockFile lock = Open();
    if (!*lock.TryExclusive(5)) return 1;
    raise(SIGSTOP);
    return 2;
  });
  ASSERT_TRUE(holder.WaitStopped());
  const LockFile probe = Open();
  EXPECT_TRUE(probe.Probe(5));
  holder.Kill();
  EXPECT_FALSE(probe.Probe(5));
}

TEST_F(OfdLock, ForkDoesNotPassItOn) {
  LockFile lock = Open();
  ASSERT_TRUE(*lock.TryExclusive(5));
  Child child([&] { return raise(SIGSTOP); });
  ASSERT_TRUE(child.WaitStopped());
  const LockFile probe = Open();
  EXPECT_TRUE(probe.Probe(5));
  // The child lives, and would hold the lock with us if it had kept the description.
  lock.Close();
  EXPECT_FALSE(probe.Probe(5));
}

TEST_F(OfdLock, ChildDoesNotUnlock) {
  const LockFile lock = Open();
  ASSERT_TRUE(*lock.TryExclusive(5));
  EXPECT_EQ(Child([] { return 0; }).Join(), 0);
  const LockFile probe = Open();
  EXPECT_TRUE(probe.Probe(5));
}

}  // namespace
}  // namespace libbus::platform
