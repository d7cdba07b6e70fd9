package bench;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;

/**
 * The place of this process in a run, in the memory that it shares with the others and with the harness (bench/lib/sides.h,
 * bench/lib/run_area.h). What it is told comes as arguments "key=value"; all offsets are in the file "area".
 */
final class Side {
  private static final VarHandle INT = MethodHandles.byteBufferViewVarHandle(int[].class, ByteOrder.LITTLE_ENDIAN);
  private static final VarHandle LONG = MethodHandles.byteBufferViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);

  // ProcessReport
  private static final int VERIFIED = 0;
  private static final int STARTED = 8;
  private static final int FINISHED = 16;
  private static final int ERROR = 40;
  private static final int ERROR_BYTES = 480;

  final boolean producer;
  final int index;
  final int size;
  final int producers;
  final int consumers;
  final boolean park;
  final long records;
  final long intervalNs;
  final int stampEvery;
  final String directory;

  private final Map<String, String> arguments = new HashMap<>();
  private final MappedByteBuffer head;
  private final int report;
  private final MappedByteBuffer times;

  Side(String[] args) throws IOException {
    for (String arg : args) {
      int equals = arg.indexOf('=');
      arguments.put(arg.substring(0, equals), arg.substring(equals + 1));
    }
    producer = text("role").equals("producer");
    index = (int) number("index");
    size = (int) number("size");
    producers = (int) number("producers");
    consumers = (int) number("consumers");
    park = text("wait").equals("park");
    records = number("records");
    intervalNs = number("interval_ns");
    stampEvery = (int) number("stamp_every");
    directory = text("directory");
    report = (int) number("report");
    try (RandomAccessFile file = new RandomAccessFile(text("area"), "rw")) {
      FileChannel channel = file.getChannel();
      head = channel.map(FileChannel.MapMode.READ_WRITE, 0, report + ERROR + ERROR_BYTES);
      times = producer ? null
          : channel.map(FileChannel.MapMode.READ_WRITE, number("times"), number("times_count") * 8);
    }
    if (times != null) {
      Memory.UNSAFE.setMemory(Memory.addressOf(times), times.capacity(), (byte) 0); // no fault is left for the run
    }
  }

  String text(String key) {
    String value = arguments.get(key);
    if (value == null) {
      throw new IllegalArgumentException("no " + key + "=");
    }
    return value;
  }

  long number(String key) {
    return Long.parseLong(text(key));
  }

  boolean paced() {
    return intervalNs > 0;
  }

  long total() {
    return records * producers;
  }

  /** For the times of all stamped records. */
  Sink sink() {
    return new Sink(this, Memory.addressOf(times), times.capacity() / 8);
  }

  /** For a warm-up: its times are forgotten. */
  Sink idleSink() {
    return new Sink(this, Memory.UNSAFE.allocateMemory(8192), 1024);
  }

  /** Returns when all have arrived, with the time at which the last one did. */
  long arrive(String barrier) {
    int at = (int) number(barrier);
    int expected = (int) INT.get(head, at);
    if ((int) INT.getAndAdd(head, at + 4, 1) + 1 == expected) {
      LONG.setRelease(head, at + 8, System.nanoTime());
    }
    long opened;
    while ((opened = (long) LONG.getAcquire(head, at + 8)) == 0) {
      Thread.yield();
    }
    return opened;
  }

  void reportStarted(long ns) {
    LONG.set(head, report + STARTED, ns);
  }

  void reportFinished(long ns, long verified) {
    LONG.set(head, report + FINISHED, ns);
    LONG.set(head, report + VERIFIED, verified);
  }

  void reportError(String text) {
    byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
    head.position(report + ERROR);
    head.put(bytes, 0, Math.min(bytes.length, ERROR_BYTES - 1));
  }
}
