package bench;

/** Polls as all contenders do (bench/lib/loops.h): a pause of 0.8 us after the first poll that fails, then on and on. */
final class Spin implements Peer.Idle {
  private static final long FIRST_PAUSE_NS = 800;
  private boolean paused;

  @Override
  public void reset() {
    paused = false;
  }

  @Override
  public void idle() {
    if (paused) {
      Thread.onSpinWait();
      return;
    }
    paused = true;
    long quietUntil = System.nanoTime() + FIRST_PAUSE_NS;
    do {
      for (int i = 0; i < 8; ++i) {
        Thread.onSpinWait();
      }
    } while (System.nanoTime() < quietUntil);
  }
}
