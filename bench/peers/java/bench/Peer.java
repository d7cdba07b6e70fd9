package bench;

/** What is compared. A run has two lanes: one to warm up with, and the one that is measured. */
interface Peer {
  interface Writer {
    /** Returns when the record is on its way; waits where there is no room. */
    void write(long address, int size) throws Exception;
  }

  interface Reader {
    /** Gives what is there to its sink, without waiting; how many that were. */
    int poll() throws Exception;

    /** Waits until every producer can reach it. */
    default void awaitProducers() throws Exception {}
  }

  interface Idle {
    /** After a poll that found something. */
    void reset();

    /** After one that did not. */
    void idle();
  }

  Writer writer(boolean warmUp) throws Exception;

  Reader reader(boolean warmUp, Sink sink) throws Exception;

  /** Waits as the peer's makers advise where nobody is to spin. */
  Idle parkIdle();
}
