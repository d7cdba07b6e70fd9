// A directory for one test, gone afterwards.
#ifndef LIBBUS_TESTS_SUPPORT_SCRATCH_H_
#define LIBBUS_TESTS_SUPPORT_SCRATCH_H_

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>

namespace libbus::test {

class Scratch {
 public:
  // In $TMPDIR, else /tmp.
  Scratch() : Scratch(std::getenv("TMPDIR") != nullptr ? std::getenv("TMPDIR") : "/tmp") {}
  explicit Scratch(const std::string& parent) {
    path_ = parent + "/libbus-test-XXXXXX";
    if (mkdtemp(path_.data()) == nullptr) throw std::runtime_error("mkdtemp " + path_);
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace libbus::test

#endif  // LIBBUS_TESTS_SUPPORT_SCRATCH_H_
