#include "examples/etl/workspace.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

namespace etl {
namespace {

namespace fs = std::filesystem;

// Its presence says that what lies beside it may be replaced; its lock, that a demo is running there.
constexpr const char* kMarker = ".etl_demo";

constexpr const char* kLeftovers[] = {"bus",         "demo.db",       "demo.db-wal", "demo.db-shm",
                                      "extract.log", "transform.log", "load.log"};

absl::Status Refuse(const std::string& directory, std::string_view why) {
  return absl::FailedPreconditionError(fmt::format("{}: {}: choose another with --dir", directory, why));
}

absl::Status Make(const std::string& directory) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) return Refuse(directory, error.message());
  const bool empty = fs::is_empty(directory, error);
  if (error) return Refuse(directory, error.message());
  if (empty || fs::exists(directory + "/" + kMarker, error)) return absl::OkStatus();
  return Refuse(directory, "is neither empty nor of an earlier demo");
}

// The descriptor stays open, and with it the lock, as long as this process lives.
absl::Status Hold(const std::string& directory) {
  const std::string marker = directory + "/" + kMarker;
  const int fd = open(marker.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return Refuse(directory, strerror(errno));
  if (flock(fd, LOCK_EX | LOCK_NB) == 0) return absl::OkStatus();
  close(fd);
  return Refuse(directory, "another demo is running in it");
}

}  // namespace

std::string Workspace::DefaultDirectory() {
  std::error_code error;
  if (fs::is_directory("build", error)) return fs::current_path() / "build/demo";
  const char* tmp = std::getenv("TMPDIR");
  return fmt::format("{}/libbus-demo-{}", tmp != nullptr && *tmp != '\0' ? tmp : "/tmp", getuid());
}

void Workspace::Clear() const {
  std::error_code ignored;
  for (const char* name : kLeftovers) fs::remove_all(directory_ + "/" + name, ignored);
}

absl::StatusOr<Workspace> Workspace::Prepare(const std::string& directory) {
  std::error_code error;
  const std::string path = fs::absolute(directory, error).lexically_normal();
  if (const absl::Status status = Make(path); !status.ok()) return status;
  if (const absl::Status status = Hold(path); !status.ok()) return status;
  Workspace workspace(path);
  workspace.Clear();
  return workspace;
}

}  // namespace etl
