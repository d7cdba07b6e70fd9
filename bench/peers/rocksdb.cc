// RocksDB: one Put with a synced write-ahead log for each record. Durable when Put returns. One process may have the
// database open: several producers would have to be threads of it.
#include <fmt/format.h>
#include <rocksdb/c.h>

#include <memory>
#include <string>

#include "bench/lib/durable_loop.h"
#include "bench/lib/processes.h"
#include "bench/peers/durable_peers.h"
#include "bench/peers/settings.h"

namespace libbus::bench {
namespace {

absl::Status TakeError(char* error) {
  if (error == nullptr) return absl::OkStatus();
  absl::Status status = absl::UnavailableError(error);
  rocksdb_free(error);
  return status;
}

struct CloseDatabase {
  void operator()(rocksdb_t* database) const { rocksdb_close(database); }
};
using Database = std::unique_ptr<rocksdb_t, CloseDatabase>;

absl::StatusOr<Database> Open(const DurableRun& run) {
  const std::unique_ptr<rocksdb_options_t, decltype(&rocksdb_options_destroy)> options(rocksdb_options_create(),
                                                                                       rocksdb_options_destroy);
  rocksdb_options_set_create_if_missing(options.get(), 1);
  rocksdb_options_set_recycle_log_file_num(options.get(), settings::kRocksDbRecycledLogs);
  char* error = nullptr;
  Database database(rocksdb_open(options.get(), (run.directory + "/rocksdb").c_str(), &error));
  if (auto opened = TakeError(error); !opened.ok()) return opened;
  return database;
}

class RocksDb : public DurableWriter {
 public:
  std::string_view name() const override { return "rocksdb"; }

  std::string Refusal(const DurableRun& run) const override {
    return run.producers == 1 ? "" : "one process at a time may write";
  }

  absl::Status Prepare(const DurableRun&) override { return absl::OkStatus(); }

  absl::Status Write(const DurableRun& run, DurableSide& side) override {
    auto database = Open(run);
    if (!database.ok()) return database.status();
    const std::unique_ptr<rocksdb_writeoptions_t, decltype(&rocksdb_writeoptions_destroy)> options(
        rocksdb_writeoptions_create(), rocksdb_writeoptions_destroy);
    rocksdb_writeoptions_set_sync(options.get(), 1);
    uint64_t next = 0;
    return WriteDurably(run, side, [&](std::span<const std::byte> record) {
      const std::string key = fmt::format("{:020}", next++);  // keys are ordered as text
      char* error = nullptr;
      rocksdb_put(database->get(), options.get(), key.data(), key.size(), reinterpret_cast<const char*>(record.data()),
                  record.size(), &error);
      return TakeError(error);
    });
  }

  // In a process of its own: the database has threads, and what forks the others has none.
  absl::StatusOr<uint64_t> Check(const DurableRun& run) override {
    const auto verified = RunInProcess([&] { return Verify(run); });
    if (!verified.ok()) return verified;
    return 0;
  }

  void Discard() override {}

 private:
  static absl::Status Verify(const DurableRun& run) {
    auto database = Open(run);
    if (!database.ok()) return database.status();
    const std::unique_ptr<rocksdb_readoptions_t, decltype(&rocksdb_readoptions_destroy)> options(
        rocksdb_readoptions_create(), rocksdb_readoptions_destroy);
    const std::unique_ptr<rocksdb_iterator_t, decltype(&rocksdb_iter_destroy)> iterator(
        rocksdb_create_iterator(database->get(), options.get()), rocksdb_iter_destroy);
    Verifier verifier(run.size, run.producers, 1);
    for (rocksdb_iter_seek_to_first(iterator.get()); rocksdb_iter_valid(iterator.get()) != 0;
         rocksdb_iter_next(iterator.get())) {
      size_t size = 0;
      const char* bytes = rocksdb_iter_value(iterator.get(), &size);
      if (!verifier.Check({reinterpret_cast<const std::byte*>(bytes), size})) {
        return absl::InternalError(verifier.error());
      }
    }
    return CheckCount(run, verifier).status();
  }
};

}  // namespace

std::unique_ptr<DurableWriter> MakeRocksDb() { return std::make_unique<RocksDb>(); }

}  // namespace libbus::bench
