// LMDB: one transaction for each record, appended behind the last key. Durable when the commit returns: data and the
// meta page were synced. Writers of all processes take one lock in turn.
#include <fmt/format.h>
#include <lmdb.h>

#include <memory>
#include <string>
#include <utility>

#include "bench/lib/durable_loop.h"
#include "bench/peers/durable_peers.h"
#include "bench/peers/settings.h"

namespace libbus::bench {
namespace {

absl::Status Failed(const char* call, int error) {
  return absl::UnavailableError(fmt::format("{}: {}", call, mdb_strerror(error)));
}

struct CloseEnvironment {
  void operator()(MDB_env* environment) const { mdb_env_close(environment); }
};
struct CloseCursor {
  void operator()(MDB_cursor* cursor) const { mdb_cursor_close(cursor); }
};
using Environment = std::unique_ptr<MDB_env, CloseEnvironment>;
using Cursor = std::unique_ptr<MDB_cursor, CloseCursor>;

static_assert(settings::kLmdbFlags == MDB_WRITEMAP);

absl::StatusOr<Environment> Open(const DurableRun& run) {
  MDB_env* raw = nullptr;
  if (const int error = mdb_env_create(&raw); error != 0) return Failed("mdb_env_create", error);
  Environment environment(raw);
  mdb_env_set_mapsize(raw, settings::LmdbMapBytes(run.total(), run.size));
  const int error = mdb_env_open(raw, (run.directory + "/lmdb").c_str(), MDB_NOSUBDIR | settings::kLmdbFlags, 0600);
  if (error != 0) return Failed("mdb_env_open", error);
  return environment;
}

// Aborted where it is not committed.
class Transaction {
 public:
  Transaction() = default;
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  ~Transaction() {
    if (transaction_ != nullptr) mdb_txn_abort(transaction_);
  }

  int Begin(MDB_env* environment, unsigned flags) {
    const int error = mdb_txn_begin(environment, nullptr, flags, &transaction_);
    return error != 0 ? error : mdb_dbi_open(transaction_, nullptr, MDB_INTEGERKEY, &database_);
  }
  int Commit() { return mdb_txn_commit(std::exchange(transaction_, nullptr)); }
  int NewCursor(Cursor& cursor) {
    MDB_cursor* raw = nullptr;
    const int error = mdb_cursor_open(transaction_, database_, &raw);
    cursor.reset(raw);
    return error;
  }

 private:
  MDB_txn* transaction_ = nullptr;
  MDB_dbi database_ = 0;
};

// Behind the last one.
int Append(Transaction& transaction, std::span<const std::byte> record) {
  Cursor cursor;
  if (const int error = transaction.NewCursor(cursor); error != 0) return error;
  MDB_val key{};
  MDB_val value{};
  uint64_t next = 0;
  const int last = mdb_cursor_get(cursor.get(), &key, &value, MDB_LAST);
  if (last != 0 && last != MDB_NOTFOUND) return last;
  if (last == 0) next = LoadWord({static_cast<const std::byte*>(key.mv_data), key.mv_size}, 0) + 1;
  key = {sizeof(next), &next};
  value = {record.size(), const_cast<std::byte*>(record.data())};
  return mdb_cursor_put(cursor.get(), &key, &value, MDB_APPEND);
}

class Lmdb : public DurableWriter {
 public:
  std::string_view name() const override { return "lmdb"; }

  absl::Status Prepare(const DurableRun& run) override { return Open(run).status(); }

  absl::Status Write(const DurableRun& run, DurableSide& side) override {
    auto environment = Open(run);
    if (!environment.ok()) return environment.status();
    return WriteDurably(run, side, [&](std::span<const std::byte> record) {
      Transaction transaction;
      if (const int error = transaction.Begin(environment->get(), 0); error != 0) return Failed("mdb_txn_begin", error);
      if (const int error = Append(transaction, record); error != 0) return Failed("mdb_cursor_put", error);
      const int error = transaction.Commit();
      return error == 0 ? absl::OkStatus() : Failed("mdb_txn_commit", error);
    });
  }

  absl::StatusOr<uint64_t> Check(const DurableRun& run) override {
    auto environment = Open(run);
    if (!environment.ok()) return environment.status();
    Transaction transaction;
    if (const int error = transaction.Begin(environment->get(), MDB_RDONLY); error != 0) {
      return Failed("mdb_txn_begin", error);
    }
    Cursor cursor;
    if (const int error = transaction.NewCursor(cursor); error != 0) return Failed("mdb_cursor_open", error);
    Verifier verifier(run.size, run.producers, 1);
    MDB_val key{};
    MDB_val value{};
    while (mdb_cursor_get(cursor.get(), &key, &value, MDB_NEXT) == 0) {
      if (!verifier.Check({static_cast<const std::byte*>(value.mv_data), value.mv_size})) {
        return absl::InternalError(verifier.error());
      }
    }
    return CheckCount(run, verifier);
  }

  void Discard() override {}
};

}  // namespace

std::unique_ptr<DurableWriter> MakeLmdb() { return std::make_unique<Lmdb>(); }

}  // namespace libbus::bench
