// What every proof has in common: how long it goes on, what it counts, and the one line that it ends with.
//
// A proof has two forms. The short one runs as a test, with one fixed and one random seed. The long one is asked for
// with LIBBUS_BUDGET, a number of seconds or `full`: it goes on until it has done as much as it is meant to do, or the
// time is up. `./dev crash` runs the long form and adds up the lines.
#ifndef LIBBUS_TESTS_SUPPORT_PROOF_H_
#define LIBBUS_TESTS_SUPPORT_PROOF_H_

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

namespace libbus::test {

// How long a proof goes on. The time counts from when this was made.
class Budget {
 public:
  // `share`: of the time, for one of several cases of a program.
  explicit Budget(double share = 1) {
    const char* const given = std::getenv("LIBBUS_BUDGET");
    if (given == nullptr) return;
    long_ = true;
    const std::string_view text = given;
    seconds_ = text == "full" ? std::numeric_limits<double>::infinity() : share * std::strtod(given, nullptr);
  }

  bool long_form() const { return long_; }

  // Whether to do one more after `done` of them: until there are `short_form`; in the long form until there are
  // `long_form` or the time is up.
  bool More(uint64_t done, uint64_t short_form, uint64_t long_form) const {
    if (done < short_form) return true;
    return long_ && done < long_form && Elapsed() < seconds_;
  }

  double Elapsed() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

 private:
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  bool long_ = false;
  double seconds_ = 0;
};

// What a proof counted. Of lost, phantom, stuck and silent none may be there.
struct Figures {
  uint64_t points = 0;      // deaths, stalls or faults, each after another change of shared bytes or system call
  uint64_t images = 0;      // disks after a power cut, or spoiled files, that differ from what was there before
  uint64_t executions = 0;  // schedules, rounds of a storm, pairs of publish and wait
  uint64_t records = 0;     // read and compared
  uint64_t lost = 0;        // acknowledged, and gone or different
  uint64_t phantom = 0;     // read, and never published there
  uint64_t stuck = 0;       // somebody waited for the dead or the stopped, or for ever
  uint64_t silent = 0;      // something is gone, and nothing says so
  double slowest_ms = 0;    // until the others went on, at worst
  uint64_t seed = 0;

  uint64_t wrong() const { return lost + phantom + stuck + silent; }
  void Slow(double ms) { slowest_ms = std::max(slowest_ms, ms); }
};

// Prints the line of a proof, and adds it to the file $LIBBUS_FIGURES. `name`: one word, with dashes.
inline void Report(std::string_view name, const Figures& f) {
  const std::string line = fmt::format(
      "proof {}: points {}, images {}, executions {}, records {}, lost {}, phantom {}, stuck {}, silent {}, "
      "slowest {:.1f} ms, seed {}\n",
      name, f.points, f.images, f.executions, f.records, f.lost, f.phantom, f.stuck, f.silent, f.slowest_ms, f.seed);
  fmt::print("{}", line);
  const char* const path = std::getenv("LIBBUS_FIGURES");
  if (path == nullptr) return;
  const int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0 || write(fd, line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
    fmt::print(stderr, "cannot add the figures to {}\n", path);
  }
  if (fd >= 0) close(fd);
}

// The same at the end of its scope, so also where a check ends the case before its time. `figures` as they are then.
class ReportAtEnd {
 public:
  ReportAtEnd(std::string name, const Figures& figures) : name_(std::move(name)), figures_(figures) {}
  ~ReportAtEnd() { Report(name_, figures_); }
  ReportAtEnd(const ReportAtEnd&) = delete;
  ReportAtEnd& operator=(const ReportAtEnd&) = delete;

 private:
  const std::string name_;
  const Figures& figures_;
};

}  // namespace libbus::test

#endif  // LIBBUS_TESTS_SUPPORT_PROOF_H_
