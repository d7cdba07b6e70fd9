// SIGINT ends a command where it is whole; SIGPIPE ends nothing (a write says so).
#ifndef LIBBUS_TOOLS_BUS_SIGNALS_H_
#define LIBBUS_TOOLS_BUS_SIGNALS_H_

#include <libbus/consumer.h>

namespace bustool {

// The first SIGINT is remembered and interrupts system calls, the second kills.
void InstallSignals();

bool Interrupted();

// While it lives a SIGINT also interrupts this consumer.
class InterruptsConsumer {
 public:
  explicit InterruptsConsumer(libbus::Consumer& consumer);
  ~InterruptsConsumer();
  InterruptsConsumer(const InterruptsConsumer&) = delete;
  InterruptsConsumer& operator=(const InterruptsConsumer&) = delete;
};

}  // namespace bustool

#endif  // LIBBUS_TOOLS_BUS_SIGNALS_H_
