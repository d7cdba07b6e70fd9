#include "libbus/log/sleep_page.h"

#include "libbus/log/file_header.h"
#include "libbus/platform/seam.h"
#include "libbus/platform/status.h"

namespace libbus::log {

absl::StatusOr<SleepPage> SleepPage::Open(const std::string& directory, const format::Uuid& uuid, bool optional) {
  const std::string path = directory + "/sleep";
  SleepPage page;
  auto file = platform::OpenFile(path, true);
  if (!file.ok() && optional) {
    page.own_ = std::shared_ptr<uint64_t[]>(new uint64_t[format::kPageSize / 8]());
    return page;
  }
  LIBBUS_RETURN_IF_ERROR(file.status());
  LIBBUS_ASSIGN_OR_RETURN(const auto header,
                          ReadFileHeader<format::SleepFile>(*file, path, format::kSleepMagic, "sleep page"));
  if (header.header.uuid != uuid) {
    return absl::DataLossError(fmt::format("{}: belongs to another topic ({})", path, UuidText(header.header.uuid)));
  }
  LIBBUS_ASSIGN_OR_RETURN(page.mapping_, platform::Mapping::Map(*file, path, format::kPageSize, true));
  return page;
}

void SleepPage::CallForHelp() const {
  help().Raise();
  platform::Seam::FutexWake(help().futex(), 1, true);
}

}  // namespace libbus::log
