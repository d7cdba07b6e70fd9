// The settings of every peer, each with where the advice comes from. A setting that makes a peer faster belongs here.
#ifndef LIBBUS_BENCH_PEERS_SETTINGS_H_
#define LIBBUS_BENCH_PEERS_SETTINGS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace libbus::bench::settings {

// --- pipe, Unix-domain socket, TCP ---

// pipe(7), "Pipe capacity": F_SETPIPE_SZ up to /proc/sys/fs/pipe-max-size, which is 1 MiB by default. A larger pipe
// blocks its writer less often.
inline constexpr int kPipeBytes = 1 << 20;
// socket(7): SO_SNDBUF and SO_RCVBUF, which the kernel bounds by net.core.wmem_max and rmem_max.
inline constexpr int kSocketBytes = 4 << 20;
// tcp(7): TCP_NODELAY, so that a record is not held back until there are more.
inline constexpr int kTcpNoDelay = 1;
// A reader takes what is there in one call, up to so much: one system call for many small records.
inline constexpr size_t kStreamReadBytes = 256 << 10;

// --- POSIX message queue ---

// mq_overview(7): /proc/sys/fs/mqueue/msg_max (10 by default) bounds the depth, but not that of a privileged process,
// for which this is asked first.
inline constexpr long kQueueDepth = 1024;

// --- Boost.Interprocess message_queue ---

// The queue's memory is all taken at once: boost.org, Interprocess, "Message Queue": max_num_msg times max_msg_size.
// Deep enough that a producer is not stopped while a consumer loses its core for a moment.
inline constexpr size_t kBoostQueueBytes = 16 << 20;
inline constexpr size_t BoostDepth(size_t size) { return std::clamp<size_t>(kBoostQueueBytes / size, 8, 16384); }

// --- ZeroMQ ---

// zmq_setsockopt(3): ZMQ_SNDHWM and ZMQ_RCVHWM, 1000 by default; the ZeroMQ guide, "High-Water Marks": larger ones for
// small messages, so that the I/O threads find batches. PUSH and PULL, as in libzmq's own perf/local_thr and
// remote_thr.
inline constexpr size_t kZeroMqBytes = 32 << 20;
inline constexpr int ZeroMqHighWater(size_t size) {
  return static_cast<int>(std::clamp<size_t>(kZeroMqBytes / size, 16, 100'000));
}
// zmq_ctx_set(3), ZMQ_IO_THREADS: one for each gigabyte a second.
inline constexpr int kZeroMqIoThreads = 1;

// --- nng ---

// nng_options(5): NNG_OPT_SENDBUF and NNG_OPT_RECVBUF, in messages; at most 8192. Push and pull have no buffers by
// default, and each message waits for the one before it.
inline constexpr int kNngBuffer = 8192;

// --- SQLite ---

// sqlite.org/pragma.html and sqlite.org/wal.html: in WAL mode a commit is durable with synchronous=FULL, and survives
// the death of a process only with NORMAL.
inline constexpr const char* kSqlitePragmas = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL";
// Writers of other processes wait for the lock for so long.
inline constexpr int kSqliteBusyMs = 100'000;

// --- LMDB ---

// lmdb.h: MDB_WRITEMAP writes through the map, faster than write(2) for each page, and gives up nothing of durability.
inline constexpr unsigned kLmdbFlags = 0x80000;  // MDB_WRITEMAP
// The map is as large as the database may ever become; a record of a small size takes part of a page, a large one whole
// ones.
inline constexpr size_t LmdbMapBytes(uint64_t records, size_t size) { return (64u << 20) + records * (size + 8192); }

// --- RocksDB ---

// The RocksDB wiki, "WAL Performance": a recycled log file does not change its size with each sync.
inline constexpr size_t kRocksDbRecycledLogs = 2;

}  // namespace libbus::bench::settings

#endif  // LIBBUS_BENCH_PEERS_SETTINGS_H_
