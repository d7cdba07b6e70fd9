package bench;

/**
 * What records hold, as bench/lib/content.h says: every byte follows from producer and sequence. Words are little-endian,
 * as on the only machines that this runs on.
 */
final class Content {
  private static final long STEP = 0xC2B2AE3D27D4EB4FL;
  private static final long MIX = 0x9E3779B97F4A7C15L;

  private Content() {}

  static long idOf(int producer, long sequence) {
    return (long) producer << 48 | sequence;
  }

  static int producerOf(long id) {
    return (int) (id >>> 48);
  }

  static long sequenceOf(long id) {
    return id & ((1L << 48) - 1);
  }

  /** Of a power of two, or 0: none. */
  static boolean isStamped(long sequence, int every) {
    return every != 0 && (sequence & (every - 1)) == 0;
  }

  static long stampOf(long address) {
    return Memory.getLong(address + 8);
  }

  /** Fills a record without a stamp; with one word 1 is overwritten afterwards. */
  static void fill(long id, long address, int size) {
    long word = (id + 1) * MIX;
    int at = 0;
    for (; at <= size - 8; at += 8, word += STEP) {
      Memory.putLong(address + at, word);
    }
    for (; at < size; ++at, word >>>= 8) {
      Memory.UNSAFE.putByte(address + at, (byte) word);
    }
    Memory.putLong(address, id);
  }

  static void fill(long id, long stamp, long address, int size) {
    fill(id, address, size);
    Memory.putLong(address + 8, stamp);
  }

  /** Whether all bytes behind the id, and behind the stamp where there is one, are as they were made. */
  static boolean matches(long id, boolean stamped, long address, int size) {
    long word = (id + 1) * MIX + STEP;
    long difference = stamped ? 0 : Memory.getLong(address + 8) ^ word;
    word += STEP;
    int at = 16;
    for (; at <= size - 8; at += 8, word += STEP) {
      difference |= Memory.getLong(address + at) ^ word;
    }
    for (; at < size; ++at, word >>>= 8) {
      difference |= (Memory.UNSAFE.getByte(address + at) ^ word) & 0xFF;
    }
    return difference == 0;
  }
}
