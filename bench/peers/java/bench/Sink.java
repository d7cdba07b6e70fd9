package bench;

/** Takes what a consumer reads: verifies every byte, and notes the times of stamped records. */
final class Sink {
  private final int size;
  private final int stampEvery;
  private final boolean paced;
  private final long[] next;
  private final long times;
  private final long room;
  private long stamped;
  private long verified;
  private String error;

  /** times: the address of so many words; what is beyond that starts again at the first. */
  Sink(Side side, long times, long room) {
    size = side.size;
    stampEvery = side.stampEvery;
    paced = side.paced();
    next = new long[side.producers];
    this.times = times;
    this.room = room;
  }

  long verified() {
    return verified;
  }

  /** Null: every record was the one expected. What comes after another one is not looked at. */
  String error() {
    return error;
  }

  void take(long address, int length) {
    if (error != null) {
      return;
    }
    long now = paced ? System.nanoTime() : 0;
    if (length != size) {
      fail(length + " bytes, not " + size);
      return;
    }
    long id = Memory.getLong(address);
    int producer = Content.producerOf(id);
    if (producer >= next.length || Content.sequenceOf(id) != next[producer]) {
      failId(id);
      return;
    }
    boolean isStamped = Content.isStamped(next[producer]++, stampEvery);
    if (!Content.matches(id, isStamped, address, size)) {
      failContent(id, isStamped, address);
      return;
    }
    ++verified;
    if (isStamped) {
      note(Content.stampOf(address), paced ? now : System.nanoTime());
    }
  }

  private void note(long stamp, long now) {
    if (now < stamp) {
      error = "read at " + now + " ns, before its stamp of " + stamp + " ns";
      return;
    }
    Memory.putLong(times + stamped * 8, paced ? now - stamp : now);
    if (++stamped == room) {
      stamped = 0;
    }
  }

  private void failId(long id) {
    int producer = Content.producerOf(id);
    if (producer >= next.length) {
      fail("from producer " + producer + ", which does not exist");
      return;
    }
    fail("sequence " + Content.sequenceOf(id) + " of producer " + producer + ", not " + next[producer]);
  }

  private void failContent(long id, boolean isStamped, long address) {
    long expected = Memory.UNSAFE.allocateMemory(size);
    Content.fill(id, expected, size);
    int at = isStamped ? 16 : 8;
    while (Memory.UNSAFE.getByte(address + at) == Memory.UNSAFE.getByte(expected + at)) {
      ++at;
    }
    fail(String.format("byte %d is %#04x, not %#04x", at, Memory.UNSAFE.getByte(address + at) & 0xFF,
        Memory.UNSAFE.getByte(expected + at) & 0xFF));
    Memory.UNSAFE.freeMemory(expected);
  }

  private void fail(String what) {
    error = "record " + verified + " read is not what was written: " + what;
  }
}
