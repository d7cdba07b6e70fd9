// A directory for the files of a run.
#ifndef LIBBUS_BENCH_SCRATCH_H_
#define LIBBUS_BENCH_SCRATCH_H_

#include <absl/status/statusor.h>

#include <string>

namespace libbus::bench {

// Empty at first; gone when this goes.
class ScratchDirectory {
 public:
  // NOT_FOUND: no such parent. FAILED_PRECONDITION: a directory cannot be made in it.
  static absl::StatusOr<ScratchDirectory> Make(const std::string& parent);
  ScratchDirectory(ScratchDirectory&& other) noexcept;
  ~ScratchDirectory();

  const std::string& path() const { return path_; }

 private:
  explicit ScratchDirectory(std::string path) : path_(std::move(path)) {}

  std::string path_;
};

}  // namespace libbus::bench

#endif  // LIBBUS_BENCH_SCRATCH_H_
