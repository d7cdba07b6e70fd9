// Whether a child sleeps in the kernel: to begin only then with what is to wake it.
#ifndef LIBBUS_TESTS_SUPPORT_ASLEEP_H_
#define LIBBUS_TESTS_SUPPORT_ASLEEP_H_

#include <fstream>
#include <string>

#include "tests/support/processes.h"

namespace libbus::test {

// True if the kernel has put the process to sleep.
inline bool SleepsInKernel(const Child& child) {
  std::ifstream file("/proc/" + std::to_string(child.pid()) + "/stat");
  std::string stat;
  std::getline(file, stat);
  const size_t name_end = stat.rfind(") ");
  return name_end != std::string::npos && stat[name_end + 2] == 'S';
}

}  // namespace libbus::test

#endif  // LIBBUS_TESTS_SUPPORT_ASLEEP_H_
