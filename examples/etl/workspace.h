// The directory of a demo: the bus, the database and the logs of the stages.
#ifndef EXAMPLES_ETL_WORKSPACE_H_
#define EXAMPLES_ETL_WORKSPACE_H_

#include <absl/status/statusor.h>

#include <string>

namespace etl {

class Workspace {
 public:
  // OK: an empty directory, held by this process; what an earlier demo left in it is gone.
  // FAILED_PRECONDITION: it holds something else, or another demo runs in it.
  static absl::StatusOr<Workspace> Prepare(const std::string& directory);

  // Where to go when nobody says: build/demo in a source tree, else in TMPDIR.
  static std::string DefaultDirectory();

  // What a run left is gone.
  void Clear() const;

  const std::string& directory() const { return directory_; }
  std::string bus() const { return directory_ + "/bus"; }
  std::string database() const { return directory_ + "/demo.db"; }

 private:
  explicit Workspace(std::string directory) : directory_(std::move(directory)) {}
  std::string directory_;
};

}  // namespace etl

#endif  // EXAMPLES_ETL_WORKSPACE_H_
