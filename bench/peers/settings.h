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
// zmq_ctx_set(3), ZMQ_IO_THREADS: one by default; the guide, "I/O Threads": one for each gigabyte a second.
inline constexpr int kZeroMqIoThreads = 1;

// --- nng ---

// nng_options(5), nng_push(7): NNG_OPT_SENDBUF and NNG_OPT_RECVBUF, in messages; at most 8192. Push and pull have no
// buffers by default, and each message waits for the one before it.
inline constexpr int kNngBuffer = 8192;

// --- iceoryx ---

// Its example "iceoptions": nothing is lost where publishers wait for consumers and subscribers block producers, both
// of which have to ask for it. A queue holds at most 256 (MAX_SUBSCRIBER_QUEUE_CAPACITY), and is as deep by default;
// less here where the memory of as many records would be more than 64 MiB.
inline constexpr size_t kIceoryxBytes = 64 << 20;
inline constexpr uint64_t IceoryxQueue(size_t size) { return std::clamp<size_t>(kIceoryxBytes / size, 4, 256); }

// --- Java ---

// Aeron's wiki, "Performance Testing": safepoints are asked for seldom. Nothing is allocated while a run is measured,
// so that the simplest collector does; -XX:+PerfDisableSharedMem: no counters in a file that is written back at some
// time.
inline constexpr const char* kJavaOptions[] = {"-XX:+UseSerialGC",
                                               "-Xms64m",
                                               "-Xmx256m",
                                               "-XX:+PerfDisableSharedMem",
                                               "-XX:+UnlockDiagnosticVMOptions",
                                               "-XX:GuaranteedSafepointInterval=300000"};

// --- Aeron ---

// Aeron's wiki, "Performance Testing": no sparse files, memory touched before it is used, no checks of bounds. The same
// page makes datagrams longer for throughput: here it is the fragment of an IPC stream, as long as it may be. The
// length of a term is that of IPC streams by default, 64 MiB. The options behind --add-opens are what the jar asks for
// on Java 17.
inline constexpr const char* kAeronOptions[] = {"-Daeron.term.buffer.sparse.file=false",
                                                "-Daeron.pre.touch.mapped.memory=true",
                                                "-Dagrona.disable.bounds.checks=true",
                                                "-Daeron.ipc.mtu.length=65504",
                                                "--add-opens=java.base/jdk.internal.misc=ALL-UNNAMED",
                                                "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED"};
inline constexpr size_t kAeronTermBytes = 64 << 20;
// A message is at most an eighth of a term: javadoc of io.aeron.logbuffer.FrameDescriptor, computeMaxMessageLength.
inline constexpr size_t kAeronMaxRecord = kAeronTermBytes / 8;
// Of one poll; the samples take 10. The consumer's position is published once for each.
inline constexpr int kAeronFragmentLimit = 256;
// The same wiki: agents that spin need a core each. The driver's spins where it can have one.
inline constexpr bool AeronDriverSpins(unsigned cores, unsigned processes) { return cores > processes; }

// --- Chronicle Queue ---

// The modules that it opens: its README, "Java Version Support". It sends no statistics and greets nobody: javadoc of
// net.openhft.chronicle.core.announcer and its README, "chronicle.analytics.disable". No thread watches the room on the
// disk, and no call looks for misuse by several threads, as in its own benchmarks. Blocks of 64 MiB, as by default; its
// preloader is not part of the open source edition.
inline constexpr const char* kChronicleOptions[] = {"-Dchronicle.analytics.disable=true",
                                                    "-Dchronicle.announcer.disable=true",
                                                    "-Dchronicle.disk.monitor.disable=true",
                                                    "-Ddisable.single.threaded.check=true",
                                                    "--add-exports=java.base/jdk.internal.ref=ALL-UNNAMED",
                                                    "--add-exports=java.base/sun.nio.ch=ALL-UNNAMED",
                                                    "--add-exports=jdk.unsupported/sun.misc=ALL-UNNAMED",
                                                    "--add-exports=jdk.compiler/com.sun.tools.javac.file=ALL-UNNAMED",
                                                    "--add-opens=jdk.compiler/com.sun.tools.javac=ALL-UNNAMED",
                                                    "--add-opens=java.base/java.lang=ALL-UNNAMED",
                                                    "--add-opens=java.base/java.lang.reflect=ALL-UNNAMED",
                                                    "--add-opens=java.base/java.io=ALL-UNNAMED",
                                                    "--add-opens=java.base/java.util=ALL-UNNAMED"};
// A record lies in one block or in its overlap with the next, a quarter of a block.
inline constexpr size_t kChronicleMaxRecord = 8 << 20;
// How many a consumer takes before it looks at anything else.
inline constexpr int kChronicleBatch = 256;

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

// --- Redis ---

// redis.io, "Redis persistence", "Append-only file": appendfsync always syncs behind each turn of the event loop,
// before the replies of that turn are sent; no snapshots beside it, and no rewriting of the file in the middle of a
// run. No port: the socket alone.
inline constexpr const char* kRedisOptions[] = {"--port",
                                                "0",
                                                "--unixsocketperm",
                                                "700",
                                                "--appendonly",
                                                "yes",
                                                "--appendfsync",
                                                "always",
                                                "--save",
                                                "",
                                                "--auto-aof-rewrite-percentage",
                                                "0",
                                                "--daemonize",
                                                "no",
                                                "--loglevel",
                                                "warning"};

}  // namespace libbus::bench::settings

#endif  // LIBBUS_BENCH_PEERS_SETTINGS_H_
