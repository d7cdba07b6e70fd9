package bench;

import net.openhft.chronicle.bytes.Bytes;
import net.openhft.chronicle.bytes.PointerBytesStore;
import net.openhft.chronicle.queue.ChronicleQueue;
import net.openhft.chronicle.queue.ExcerptAppender;
import net.openhft.chronicle.queue.ExcerptTailer;
import net.openhft.chronicle.queue.impl.single.SingleChronicleQueueBuilder;
import net.openhft.chronicle.threads.Pauser;
import net.openhft.chronicle.wire.DocumentContext;

/** Chronicle Queue: one queue, which every producer appends to and every consumer reads. Its files lie in the run's directory. */
final class ChroniclePeer implements Peer {
  private final Side side;
  private final int batch;

  private ChroniclePeer(Side side) {
    this.side = side;
    batch = (int) side.number("batch");
  }

  public static void main(String[] args) throws Exception {
    Side side = new Side(args);
    // Nothing is closed: the harness removes the directory.
    Runtime.getRuntime().halt(Loops.run(side, new ChroniclePeer(side)));
  }

  private ChronicleQueue open(boolean warmUp) {
    return SingleChronicleQueueBuilder.binary(side.directory + (warmUp ? "/warm" : "/queue")).build();
  }

  @Override
  public Peer.Idle parkIdle() {
    Pauser pauser = Pauser.balanced();
    return new Peer.Idle() {
      @Override
      public void reset() {
        pauser.reset();
      }

      @Override
      public void idle() {
        pauser.pause();
      }
    };
  }

  @Override
  public Writer writer(boolean warmUp) {
    ExcerptAppender appender = open(warmUp).createAppender();
    PointerBytesStore record = new PointerBytesStore();
    return (address, size) -> {
      record.set(address, size);
      appender.writeBytes(record);
    };
  }

  @Override
  public Reader reader(boolean warmUp, Sink sink) {
    ExcerptTailer tailer = open(warmUp).createTailer();
    return () -> {
      for (int taken = 0; taken < batch; ++taken) {
        try (DocumentContext document = tailer.readingDocument()) {
          if (!document.isPresent()) {
            return taken;
          }
          Bytes<?> bytes = document.wire().bytes();
          sink.take(bytes.addressForRead(bytes.readPosition()), (int) bytes.readRemaining());
        }
      }
      return batch;
    };
  }
}
