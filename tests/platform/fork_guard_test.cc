#include "libbus/platform/fork_guard.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include "tests/support/processes.h"

namespace libbus::platform {
namespace {

using test::Child;

TEST(ForkGuard, KnowsTheChild) {
  const ForkGuard guard;
  EXPECT_TRUE(guard.InMaker());
  EXPECT_TRUE(guard.Check("handle").ok());
  EXPECT_EQ(Child([&] { return guard.InMaker() ? 1 : 0; }).Join(), 0);
  EXPECT_EQ(Child([&] { return guard.Check("handle").code() == absl::StatusCode::kFailedPrecondition ? 0 : 1; }).Join(),
            0);
  EXPECT_TRUE(guard.InMaker());
}

TEST(ForkGuard, IsAliveInTheChildThatMadeIt) {
  const ForkGuard parent;
  const int code = Child([&] {
                     const ForkGuard own;
                     const bool grandchild = Child([&] { return own.InMaker() ? 1 : 0; }).Join() == 0;
                     return own.InMaker() && !parent.InMaker() && grandchild ? 0 : 1;
                   }).Join();
  EXPECT_EQ(code, 0);
}

TEST(ForkClosedFd, IsClosedInTheChildAndNotTwice) {
  const ForkClosedFd fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(fd.is_open());
  const int code = Child([&] {
                     if (fd.is_open() || fcntl(fd.fd(), F_GETFD) != -1) return 1;
                     // The number is somebody else's now; closing the dead handle must leave it alone.
                     const int reused = open("/dev/null", O_RDONLY | O_CLOEXEC);
                     if (reused != fd.fd()) return 2;
                     { const ForkClosedFd moved(std::move(const_cast<ForkClosedFd&>(fd))); }
                     return fcntl(reused, F_GETFD) != -1 ? 0 : 3;
                   }).Join();
  EXPECT_EQ(code, 0);
  EXPECT_NE(fcntl(fd.fd(), F_GETFD), -1);
}

}  // namespace
}  // namespace libbus::platform
