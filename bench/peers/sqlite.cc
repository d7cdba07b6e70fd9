// SQLite with a write-ahead log: one INSERT, one transaction for each record. Durable when the statement returns: the
// log was synced (synchronous=FULL). Writers of all processes take one lock in turn.
#include <fmt/format.h>
#include <sqlite3.h>

#include <memory>
#include <string>

#include "bench/lib/durable_loop.h"
#include "bench/peers/durable_peers.h"
#include "bench/peers/settings.h"

namespace libbus::bench {
namespace {

struct CloseDatabase {
  void operator()(sqlite3* database) const { sqlite3_close(database); }
};
struct FinalizeStatement {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Database = std::unique_ptr<sqlite3, CloseDatabase>;
using Statement = std::unique_ptr<sqlite3_stmt, FinalizeStatement>;

absl::Status Failed(sqlite3* database) { return absl::UnavailableError(sqlite3_errmsg(database)); }

absl::StatusOr<Database> Open(const DurableRun& run) {
  sqlite3* raw = nullptr;
  const int opened = sqlite3_open((run.directory + "/sqlite").c_str(), &raw);
  Database database(raw);
  if (opened != SQLITE_OK) return Failed(raw);
  sqlite3_busy_timeout(raw, settings::kSqliteBusyMs);
  if (sqlite3_exec(raw, settings::kSqlitePragmas, nullptr, nullptr, nullptr) != SQLITE_OK) return Failed(raw);
  return database;
}

absl::StatusOr<Statement> Prepare(sqlite3* database, const char* text) {
  sqlite3_stmt* raw = nullptr;
  if (sqlite3_prepare_v2(database, text, -1, &raw, nullptr) != SQLITE_OK) return Failed(database);
  return Statement(raw);
}

class Sqlite : public DurableWriter {
 public:
  std::string_view name() const override { return "sqlite"; }

  absl::Status Prepare(const DurableRun& run) override {
    auto database = Open(run);
    if (!database.ok()) return database.status();
    const char* text = "CREATE TABLE records (id INTEGER PRIMARY KEY, payload BLOB)";
    return sqlite3_exec(database->get(), text, nullptr, nullptr, nullptr) == SQLITE_OK ? absl::OkStatus()
                                                                                       : Failed(database->get());
  }

  absl::Status Write(const DurableRun& run, DurableSide& side) override {
    auto database = Open(run);
    if (!database.ok()) return database.status();
    auto insert = bench::Prepare(database->get(), "INSERT INTO records (payload) VALUES (?)");
    if (!insert.ok()) return insert.status();
    return WriteDurably(run, side, [&](std::span<const std::byte> record) {
      sqlite3_bind_blob(insert->get(), 1, record.data(), static_cast<int>(record.size()), SQLITE_STATIC);
      const int stepped = sqlite3_step(insert->get());
      sqlite3_reset(insert->get());
      return stepped == SQLITE_DONE ? absl::OkStatus() : Failed(database->get());
    });
  }

  absl::StatusOr<uint64_t> Check(const DurableRun& run) override {
    auto database = Open(run);
    if (!database.ok()) return database.status();
    auto select = bench::Prepare(database->get(), "SELECT payload FROM records ORDER BY id");
    if (!select.ok()) return select.status();
    Verifier verifier(run.size, run.producers, 1);
    while (sqlite3_step(select->get()) == SQLITE_ROW) {
      const auto* bytes = static_cast<const std::byte*>(sqlite3_column_blob(select->get(), 0));
      const auto size = static_cast<size_t>(sqlite3_column_bytes(select->get(), 0));
      if (!verifier.Check({bytes, size})) return absl::InternalError(verifier.error());
    }
    return CheckCount(run, verifier);
  }

  void Discard() override {}
};

}  // namespace

std::unique_ptr<DurableWriter> MakeSqlite() { return std::make_unique<Sqlite>(); }

}  // namespace libbus::bench
