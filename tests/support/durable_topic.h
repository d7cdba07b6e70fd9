// The fixture of tests of durability: a topic "t" in segments of a page, without a background thread.
#ifndef LIBBUS_TESTS_SUPPORT_DURABLE_TOPIC_H_
#define LIBBUS_TESTS_SUPPORT_DURABLE_TOPIC_H_

#include <gtest/gtest.h>

#include <string>

#include "libbus/bus.h"
#include "tests/seam/seam.h"
#include "tests/support/scratch.h"

namespace libbus::test {

class DurableTopic : public testing::Test {
 protected:
  DurableTopic() : bus_(scratch_ / "bus") { platform::seam_control.pretend_durable = true; }
  ~DurableTopic() override {
    platform::seam_control.pretend_durable = false;
    platform::seam_control.sync_error = 0;
    platform::seam_control.at_point = nullptr;
  }

  absl::StatusOr<Topic> Open(TopicOptions options = {}, OpenOptions open = {}) const {
    open.create = !open.read_only;
    open.background = false;
    auto bus = Bus::Open(bus_, open);
    if (!bus.ok()) return bus.status();
    options.create = !open.read_only;
    if (!open.read_only && !options.segment_size) options.segment_size = 4096;
    return bus->OpenTopic("t", options);
  }
  absl::StatusOr<Topic> OpenReadOnly() const { return Open({}, {.read_only = true}); }

  std::string Path(const std::string& name) const { return bus_ + "/t/" + name; }

  Scratch scratch_;
  const std::string bus_;
};

}  // namespace libbus::test

#endif  // LIBBUS_TESTS_SUPPORT_DURABLE_TOPIC_H_
