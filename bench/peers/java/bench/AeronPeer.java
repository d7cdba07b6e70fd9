package bench;

import io.aeron.Aeron;
import io.aeron.CommonContext;
import io.aeron.FragmentAssembler;
import io.aeron.Publication;
import io.aeron.Subscription;
import io.aeron.driver.MediaDriver;
import io.aeron.driver.ThreadingMode;
import java.util.concurrent.TimeUnit;
import org.agrona.DirectBuffer;
import org.agrona.concurrent.BackoffIdleStrategy;
import org.agrona.concurrent.BusySpinIdleStrategy;
import org.agrona.concurrent.IdleStrategy;
import org.agrona.concurrent.UnsafeBuffer;

/**
 * Aeron over IPC: one stream, which every consumer subscribes to and every producer publishes to, together or each through
 * an exclusive publication. The media driver runs in the first consumer's process, on one thread.
 */
final class AeronPeer implements Peer {
  private static final int STREAM = 1;
  private static final int WARM_STREAM = 2;
  private static final int WARM_TERM_BYTES = 16 << 20;
  private static final long PATIENCE_NS = TimeUnit.SECONDS.toNanos(60);

  private final Side side;
  private final boolean exclusive;
  private final int fragmentLimit;
  private final MediaDriver driver;
  private final Aeron aeron;
  private volatile Throwable failure;

  private AeronPeer(Side side) throws Exception {
    this.side = side;
    exclusive = side.text("publication").equals("exclusive");
    fragmentLimit = (int) side.number("fragment_limit");
    driver = !side.producer && side.index == 0 ? launchDriver() : null;
    aeron = Aeron.connect(new Aeron.Context()
        .aeronDirectoryName(side.text("aeron_dir"))
        .driverTimeoutMs(TimeUnit.NANOSECONDS.toMillis(PATIENCE_NS))
        .preTouchMappedMemory(Boolean.getBoolean("aeron.pre.touch.mapped.memory"))
        .errorHandler(error -> failure = error));
  }

  public static void main(String[] args) throws Exception {
    Side side = new Side(args);
    int code;
    try {
      AeronPeer peer = new AeronPeer(side);
      code = Loops.run(side, peer);
    } catch (Throwable error) {
      side.reportError(error.toString());
      code = 1;
    }
    // The driver may be gone already: nothing is closed, the harness removes the directory.
    Runtime.getRuntime().halt(code);
  }

  private MediaDriver launchDriver() {
    IdleStrategy idle = side.text("driver_idle").equals("spin") ? new BusySpinIdleStrategy()
        : new BackoffIdleStrategy();
    return MediaDriver.launch(new MediaDriver.Context()
        .aeronDirectoryName(side.text("aeron_dir"))
        .threadingMode(ThreadingMode.SHARED)
        .sharedIdleStrategy(idle)
        .clientLivenessTimeoutNs(PATIENCE_NS)
        .publicationUnblockTimeoutNs(2 * PATIENCE_NS)
        .driverTimeoutMs(TimeUnit.NANOSECONDS.toMillis(PATIENCE_NS))
        .printConfigurationOnStart(false));
  }

  private static int stream(boolean warmUp) {
    return warmUp ? WARM_STREAM : STREAM;
  }

  /** What is measured has terms of the default length; to warm up less is enough, where a record fits. */
  private String channel(boolean warmUp) {
    return warmUp && side.size <= WARM_TERM_BYTES / 16 ? CommonContext.IPC_CHANNEL + "?term-length=" + WARM_TERM_BYTES
        : CommonContext.IPC_CHANNEL;
  }

  private Peer.Idle idleOf(IdleStrategy strategy) {
    return new Peer.Idle() {
      @Override
      public void reset() {
        strategy.reset();
      }

      @Override
      public void idle() {
        strategy.idle();
      }
    };
  }

  @Override
  public Peer.Idle parkIdle() {
    return idleOf(new BackoffIdleStrategy());
  }

  @Override
  public Writer writer(boolean warmUp) {
    Publication publication = exclusive ? aeron.addExclusivePublication(channel(warmUp), stream(warmUp))
        : aeron.addPublication(channel(warmUp), stream(warmUp));
    UnsafeBuffer buffer = new UnsafeBuffer(0, 0);
    IdleStrategy idle = side.park ? new BackoffIdleStrategy() : new BusySpinIdleStrategy();
    return (address, size) -> {
      buffer.wrap(address, size);
      long result;
      while ((result = publication.offer(buffer, 0, size)) < 0) {
        if (result != Publication.BACK_PRESSURED && result != Publication.ADMIN_ACTION) {
          throw new Loops.Failure("offer: " + Publication.errorString(result));
        }
        idle.idle();
      }
      idle.reset();
    };
  }

  @Override
  public Reader reader(boolean warmUp, Sink sink) {
    Subscription subscription = aeron.addSubscription(CommonContext.IPC_CHANNEL, stream(warmUp));
    FragmentAssembler handler = new FragmentAssembler(
        (DirectBuffer buffer, int offset, int length, io.aeron.logbuffer.Header header) -> sink
            .take(buffer.addressOffset() + offset, length),
        side.size, true);
    return new Reader() {
      @Override
      public int poll() throws Exception {
        int fragments = subscription.poll(handler, fragmentLimit);
        if (failure != null) {
          throw new Loops.Failure(failure.toString());
        }
        return fragments;
      }

      @Override
      public void awaitProducers() throws Exception {
        while (subscription.imageCount() < (exclusive ? side.producers : 1)) {
          Thread.sleep(1);
        }
      }
    };
  }
}
