#include "libbus/inspect/attached.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string_view>

namespace libbus::inspect {
namespace {

using platform::File;
using platform::FileIdentity;

std::optional<uint64_t> ParsePid(const std::string& name) {
  uint64_t pid = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
  return error == std::errc() && end == name.data() + name.size() ? std::optional(pid) : std::nullopt;
}

// Of the files that matter here, by name: others are not even looked at, some could be on a server that is gone.
bool MayMatter(std::string_view target) {
  constexpr std::string_view kDeleted = " (deleted)";
  if (target.ends_with(kDeleted)) target.remove_suffix(kDeleted.size());
  return target.ends_with("/control") || target.ends_with("/locks") || target.ends_with("/sleep") ||
         target.ends_with(".lock");
}

// "lock:\t1: OFDLCK ADVISORY  WRITE -1 fe:00:9978399 5 5", the last one perhaps "EOF".
std::optional<HeldLock> ParseLock(const std::string& line) {
  std::istringstream words(line);
  std::string kind, pid, file, from, to;
  while (kind != "READ" && kind != "WRITE") {
    if (!(words >> kind)) return std::nullopt;
  }
  if (!(words >> pid >> file >> from >> to)) return std::nullopt;
  return HeldLock{.from = std::strtoll(from.c_str(), nullptr, 10),
                  .to = to == "EOF" ? INT64_MAX : std::strtoll(to.c_str(), nullptr, 10),
                  .write = kind == "WRITE"};
}

std::vector<HeldLock> LocksOf(uint64_t pid, const std::string& fd) {
  std::vector<HeldLock> locks;
  std::ifstream info(fmt::format("/proc/{}/fdinfo/{}", pid, fd));
  for (std::string line; std::getline(info, line);) {
    if (!line.starts_with("lock:")) continue;
    if (const auto lock = ParseLock(line)) locks.push_back(*lock);
  }
  return locks;
}

// Not a thread of the kernel, nor a process that has ended.
bool IsProgram(uint64_t pid) {
  std::ifstream line(fmt::format("/proc/{}/cmdline", pid));
  return line.peek() != std::ifstream::traits_type::eof();
}

// The files of a process that may matter; nothing: it may not be looked into, or it is gone.
std::optional<std::vector<OpenedFile>> FilesOf(uint64_t pid, bool& hidden) {
  const std::string path = fmt::format("/proc/{}/fd", pid);
  const auto directory = platform::OpenDirectory(path);
  if (!directory.ok()) {
    hidden = absl::IsPermissionDenied(directory.status());
    return std::nullopt;
  }
  const auto names = platform::ListDirectory(*directory, path);
  if (!names.ok()) {
    hidden = absl::IsPermissionDenied(names.status());
    return std::nullopt;
  }
  std::vector<OpenedFile> files;
  for (const std::string& name : *names) {
    std::array<char, 4096> target;
    const ssize_t size = ::readlinkat(directory->fd(), name.c_str(), target.data(), target.size());
    if (size < 0 && errno == EACCES) hidden = true;
    if (size < 0 || !MayMatter({target.data(), static_cast<size_t>(size)})) continue;
    struct stat status;
    if (::fstatat(directory->fd(), name.c_str(), &status, 0) != 0 || !S_ISREG(status.st_mode)) continue;
    files.push_back({{status.st_dev, status.st_ino}, LocksOf(pid, name)});
  }
  if (hidden) return std::nullopt;
  return files;
}

// "123 (a name) S ...": the name may hold anything, also brackets.
void AddState(AttachedProcess& process) {
  std::ifstream file(fmt::format("/proc/{}/stat", process.pid));
  const std::string text(std::istreambuf_iterator<char>(file), {});
  const size_t begin = text.find('(');
  const size_t end = text.rfind(')');
  if (begin == std::string::npos || end == std::string::npos || end + 2 >= text.size()) return;
  process.command = text.substr(begin + 1, end - begin - 1);
  process.stopped = text[end + 2] == 'T' || text[end + 2] == 't';
}

}  // namespace

bool AttachedProcess::Has(const FileIdentity& file) const {
  return std::any_of(files.begin(), files.end(), [&](const OpenedFile& opened) { return opened.identity == file; });
}

bool AttachedProcess::Holds(const FileIdentity& file, int64_t byte) const {
  return std::any_of(files.begin(), files.end(), [&](const OpenedFile& opened) {
    return opened.identity == file && std::any_of(opened.locks.begin(), opened.locks.end(), [&](const HeldLock& lock) {
             return lock.write && lock.from <= byte && byte <= lock.to;
           });
  });
}

const AttachedProcess* Attached::Holder(const FileIdentity& file, int64_t byte) const {
  const auto found = std::find_if(processes.begin(), processes.end(),
                                  [&](const AttachedProcess& process) { return process.Holds(file, byte); });
  return found == processes.end() ? nullptr : &*found;
}

Attached FindAttached(const std::vector<FileIdentity>& controls) {
  Attached attached;
  const auto names = platform::ListDirectory("/proc");
  if (!names.ok()) return attached;
  for (const std::string& name : *names) {
    const auto pid = ParsePid(name);
    if (!pid) continue;
    bool hidden = false;
    auto files = FilesOf(*pid, hidden);
    attached.hidden += hidden && IsProgram(*pid) ? 1 : 0;
    if (!files) continue;
    AttachedProcess process{.pid = *pid, .command = {}, .stopped = false, .files = *std::move(files)};
    const bool has =
        std::any_of(controls.begin(), controls.end(), [&](const FileIdentity& file) { return process.Has(file); });
    if (!has) continue;
    AddState(process);
    attached.processes.push_back(std::move(process));
  }
  std::sort(attached.processes.begin(), attached.processes.end(),
            [](const auto& a, const auto& b) { return a.pid < b.pid; });
  return attached;
}

}  // namespace libbus::inspect
