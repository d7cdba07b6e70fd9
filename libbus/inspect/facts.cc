#include "libbus/inspect/facts.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "libbus/inspect/topic_files.h"
#include "libbus/platform/file.h"
#include "libbus/platform/status.h"

namespace libbus::inspect {
namespace {

// Without symbolic links; empty: there is no such thing, errno says why.
std::string RealPath(const std::string& path) {
  char real[PATH_MAX];
  return ::realpath(path.c_str(), real) == nullptr ? std::string() : std::string(real);
}

std::string ParentOf(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string WithoutSlashes(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

// The directory that is to be looked at: `path`, or the one above it, in which it is missing.
absl::StatusOr<std::string> Place(const std::string& path, bool& missing) {
  std::string real = RealPath(path);
  missing = real.empty() && errno == ENOENT;
  if (missing) real = RealPath(ParentOf(WithoutSlashes(path)));
  if (real.empty() && errno == ENOENT) {
    return absl::NotFoundError(fmt::format("{}: no such directory, nor the one above it: check the path", path));
  }
  if (real.empty()) return platform::ErrnoStatus(errno, path, "cannot look at it");
  return real;
}

std::optional<PathFacts> Look(const std::string& path) {
  struct stat status;
  if (::lstat(path.c_str(), &status) != 0) return std::nullopt;
  return PathFacts{.path = path, .uid = status.st_uid, .gid = status.st_gid, .mode = status.st_mode & 07777u};
}

void Add(const std::string& path, std::vector<PathFacts>& to) {
  if (auto facts = Look(path)) to.push_back(*std::move(facts));
}

void AddParents(bool missing, Facts& facts) {
  if (missing) Add(facts.path, facts.parents);
  for (std::string path = facts.path; path != "/";) {
    path = ParentOf(path);
    Add(path, facts.parents);
  }
}

void AddTopic(const std::string& bus, const std::string& name, Facts& facts) {
  const auto files = OpenTopicFiles(bus, name);
  if (!files.ok()) return;  // verify says what is wrong with it
  Add(files->path, facts.files);
  Add(files->path + "/control", facts.files);
  Add(files->path + "/locks", facts.locks);
  TopicFacts topic{.name = name};
  for (const SegmentName& segment : files->segments) {
    Add(segment.path, facts.files);
    struct stat status;
    if (::lstat(segment.path.c_str(), &status) == 0) topic.bytes += static_cast<uint64_t>(status.st_size);
  }
  if (const auto& header = files->control.header) {
    topic.segment_size = header->segment_size;
    topic.retain_bytes = header->retain_bytes;
    topic.exclusive = header->mode == format::kModeExclusive;
    topic.precise_timestamps = header->timestamps == 1;
  }
  facts.topics.push_back(topic);
}

void AddBus(Facts& facts) {
  // What is damaged, newer or not to be read is one all the same.
  const absl::StatusCode code = ReadBusFile(facts.path).status().code();
  facts.is_bus = code != absl::StatusCode::kNotFound && code != absl::StatusCode::kFailedPrecondition;
  if (!facts.is_bus) return;
  Add(facts.path + "/bus", facts.files);
  const auto names = ListTopicNames(facts.path);
  if (!names.ok()) return;
  for (const std::string& name : *names) AddTopic(facts.path, name, facts);
}

}  // namespace

std::string ReadSmallFile(const std::string& path) {
  std::ostringstream out;
  out << std::ifstream(path).rdbuf();
  return out.str();
}

absl::StatusOr<Facts> GatherFacts(const std::string& path) {
  Facts facts;
  bool missing = false;
  LIBBUS_ASSIGN_OR_RETURN(facts.path, Place(path, missing));
  LIBBUS_ASSIGN_OR_RETURN(const platform::File directory, platform::OpenDirectory(facts.path));
  if (auto bus = Look(facts.path)) facts.bus = *std::move(bus);
  facts.uid = ::geteuid();
  if (missing) facts.bus.uid = facts.uid;
  AddParents(missing, facts);
  AddBus(facts);
  facts.writable = ::faccessat(directory.fd(), ".", W_OK | X_OK, AT_EACCESS) == 0;
  GatherMount(directory.fd(), facts);
  if (facts.writable) TryOut(directory.fd(), facts);
  GatherMachine(facts);
  GatherMemory(facts);
  return facts;
}

}  // namespace libbus::inspect
