// The file system under a directory, how it is mounted, and the device under that.
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <sstream>

#include "libbus/inspect/facts.h"

namespace libbus::inspect {
namespace {

// The kernel writes space, tab, newline and backslash in paths as \040 and so on.
std::string Unescaped(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool code = text[i] == '\\' && i + 3 < text.size();
    if (!code) {
      out += text[i];
      continue;
    }
    out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
    i += 3;
  }
  return out;
}

void AddOptions(const std::string& text, std::vector<std::string>& to) {
  std::istringstream in(text);
  for (std::string option; std::getline(in, option, ',');) {
    if (std::find(to.begin(), to.end(), option) == to.end()) to.push_back(option);
  }
}

// Behind "mnt_id:" in what the kernel tells of an open descriptor.
uint64_t MountIdOf(int directory) {
  const std::string info = ReadSmallFile(fmt::format("/proc/self/fdinfo/{}", directory));
  const size_t at = info.find("mnt_id:");
  return at == std::string::npos ? 0 : std::strtoull(info.c_str() + at + 7, nullptr, 10);
}

void AddSpace(int directory, Facts& facts) {
  struct statvfs space;
  if (::fstatvfs(directory, &space) != 0) return;
  facts.total_bytes = uint64_t{space.f_blocks} * space.f_frsize;
  facts.free_bytes = uint64_t{space.f_bavail} * space.f_frsize;
  facts.total_inodes = space.f_files;
  facts.free_inodes = space.f_favail;
}

std::string Trimmed(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

// A partition has no queue of its own: the disk above it has.
void AddDevice(int directory, Facts& facts) {
  struct stat status;
  if (::fstat(directory, &status) != 0) return;
  const std::string device = fmt::format("/sys/dev/block/{}:{}", major(status.st_dev), minor(status.st_dev));
  for (const std::string& place : {device, device + "/.."}) {
    const std::string cache = Trimmed(ReadSmallFile(place + "/queue/write_cache"));
    if (cache.empty()) continue;
    facts.write_cache = cache;
    const std::string vendor = ReadSmallFile(place + "/device/vendor");
    const std::string model = ReadSmallFile(place + "/device/model");
    const auto is = [&](std::string_view word) {
      return vendor.find(word) != std::string::npos || model.find(word) != std::string::npos;
    };
    // virtio tells a number (0x1af4 or 0x0002) where others tell a name.
    facts.virtual_disk = facts.source.starts_with("/dev/vd") || facts.source.starts_with("/dev/xvd") || is("QEMU") ||
                         is("VMware") || is("VBOX") || is("Virtual") || is("Amazon") || is("Google") || is("Msft");
    return;
  }
}

}  // namespace

std::optional<Mount> ParseMount(const std::string& mountinfo, uint64_t id) {
  std::istringstream lines(mountinfo);
  for (std::string line; std::getline(lines, line);) {
    // 27 1 254:0 / /mount/point rw,relatime shared:1 - ext4 /dev/vda rw,discard
    std::istringstream fields(line);
    uint64_t found = 0;
    std::string parent, device, root, point, options, field, type, source, more;
    if (!(fields >> found) || found != id) continue;
    fields >> parent >> device >> root >> point >> options;
    while (fields >> field && field != "-") {
    }
    if (!(fields >> type >> source)) return std::nullopt;
    fields >> more;
    Mount mount{.type = type, .point = Unescaped(point), .source = Unescaped(source), .options = {}};
    AddOptions(options, mount.options);
    AddOptions(more, mount.options);
    return mount;
  }
  return std::nullopt;
}

void GatherMount(int directory, Facts& facts) {
  if (const auto mount = ParseMount(ReadSmallFile("/proc/self/mountinfo"), MountIdOf(directory))) {
    facts.type = mount->type;
    facts.mount_point = mount->point;
    facts.source = mount->source;
    facts.options = mount->options;
  }
  unsigned flags = 0;
  facts.nocow = facts.type == "btrfs" && ::ioctl(directory, FS_IOC_GETFLAGS, &flags) == 0 && (flags & FS_NOCOW_FL) != 0;
  AddSpace(directory, facts);
  AddDevice(directory, facts);
}

}  // namespace libbus::inspect
