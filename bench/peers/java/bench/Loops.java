package bench;

/**
 * The same work beside a peer's own as bench/lib/loops.h has it, behind a warm-up of the same loops on another lane between
 * the same processes, so that neither the start of the machine nor the compiler is part of what is measured. The bursts
 * of the warm-up are as long as the run, up to BURST records; between them is time for the compiler's threads.
 */
final class Loops {
  private static final int BURSTS = 6;
  private static final long BURST = 20_000;
  private static final long BURST_BYTES = 8 << 20;
  private static final long REST_MS = 20;
  private static final long WARM_INTERVAL_NS = 2000;

  private Loops() {}

  /** The whole run of one process: its exit code. */
  static int run(Side side, Peer peer) {
    try {
      if (side.producer) {
        produce(side, peer);
      } else {
        consume(side, peer);
      }
      return 0;
    } catch (Throwable error) {
      side.reportError(error instanceof Failure ? error.getMessage() : error.toString());
      return 1;
    }
  }

  /** What went wrong, in words for people. */
  static final class Failure extends Exception {
    private static final long serialVersionUID = 1;

    Failure(String what) {
      super(what);
    }
  }

  private static long burst(Side side) {
    return Math.max(Math.min(Math.min(side.records, BURST), BURST_BYTES / side.size), 1);
  }

  private static void produce(Side side, Peer peer) throws Exception {
    Peer.Writer warm = peer.writer(true);
    Peer.Writer writer = peer.writer(false);
    long buffer = Memory.UNSAFE.allocateMemory(side.size);
    side.arrive("warm");
    long burst = burst(side);
    for (int i = 0; i < BURSTS; ++i) {
      write(side, warm, buffer, System.nanoTime(), Math.min(side.intervalNs, WARM_INTERVAL_NS), i * burst, burst);
      Thread.sleep(REST_MS);
    }
    write(side, writer, buffer, side.arrive("start"), side.intervalNs, 0, side.records);
    side.arrive("done");
  }

  private static void write(Side side, Peer.Writer writer, long buffer, long start, long intervalNs, long first,
      long records) throws Exception {
    if (intervalNs > 0) {
      writePaced(side, writer, buffer, start, intervalNs, first, records);
    } else {
      writeFast(side, writer, buffer, first, records);
    }
  }

  private static void writeFast(Side side, Peer.Writer writer, long buffer, long first, long records)
      throws Exception {
    for (long sequence = first; sequence < first + records; ++sequence) {
      long id = Content.idOf(side.index, sequence);
      if (Content.isStamped(sequence, side.stampEvery)) {
        Content.fill(id, System.nanoTime(), buffer, side.size);
      } else {
        Content.fill(id, buffer, side.size);
      }
      writer.write(buffer, side.size);
    }
  }

  private static void writePaced(Side side, Peer.Writer writer, long buffer, long start, long intervalNs, long first,
      long records) throws Exception {
    for (long sequence = first; sequence < first + records; ++sequence) {
      long due = start + ((sequence - first) * side.producers + side.index + 1) * intervalNs;
      Content.fill(Content.idOf(side.index, sequence), due, buffer, side.size);
      while (System.nanoTime() < due) {
      }
      writer.write(buffer, side.size);
    }
  }

  private static void consume(Side side, Peer peer) throws Exception {
    Sink warmSink = side.idleSink();
    Sink sink = side.sink();
    Peer.Reader warm = peer.reader(true, warmSink);
    Peer.Reader reader = peer.reader(false, sink);
    Peer.Idle idle = side.park ? peer.parkIdle() : new Spin();
    side.arrive("warm");
    read(warm, warmSink, idle, BURSTS * burst(side) * side.producers);
    reader.awaitProducers();
    reader.poll();
    long opened = side.arrive("start");
    side.reportStarted(opened);
    read(reader, sink, idle, side.total());
    side.reportFinished(System.nanoTime(), sink.verified());
    side.arrive("done");
    if (reader.poll() > 0) {
      throw new Failure("more records can be read than were written");
    }
  }

  private static void read(Peer.Reader reader, Sink sink, Peer.Idle idle, long records) throws Exception {
    while (sink.verified() < records) {
      if (reader.poll() > 0) {
        idle.reset();
      } else {
        idle.idle();
      }
      if (sink.error() != null) {
        throw new Failure(sink.error());
      }
    }
  }
}
