/* The tail of the log: reserve, fill, commit, abandon, repair, revoke, roll, sleep and wake (docs/architecture.md).
 *
 * Cells stand for record words: two in the first segment, two in the second, to which an END in the first leads. Each
 * producer takes a slot and publishes one record; a consumer reads in order and sleeps on the word it will read; a
 * second one does the same, so that wake-ups have to be passed on. What is checked, in all interleavings:
 *   - a word changes FREE -> RESERVED -> DATA or GAP, FREE -> END, and in no other way
 *   - what was acknowledged is DATA, and no FREE word stands before it
 *   - a claim fails to commit only if it was revoked
 *   - when nothing can go on any more, nobody sleeps on a word that is final, or RESERVED by the dead
 *
 * Built with   -DP=1, -DC=2  so many producers (2) and consumers (1)
 *              -DDIES      producers may die between any two steps; sleeps are bounded then, as they are in the library
 *              -DREVOKES   a claim may be revoked at any time: the time-out may always be over
 *              -DROLLS     the first producer's record fits the second segment only
 *              -DKEEPS     producers stay open
 *              -DABANDONS  a producer may give its claim up
 * and with one planted fault, which must be found:
 *              -DNO_FENCE         the sleep mark may be read before others see the commit
 *              -DEND_WAKES_NOBODY -DGAP_WAKES_NOBODY -DNOT_PASSED_ON
 *              -DPLAIN_COMMIT     commit by a store instead of a swap (with REVOKES)
 *              -DPROBE_FIRST      the owner's lock is probed before the word is read (a dead holder's slot is taken again)
 *              -DSLOT_UNRESOLVED  a slot is taken without resolving the claims of its last holder (with DIES, KEEPS)
 *              -DMARK_LATE        the word is compared before the mark is raised
 */
#define FREE 0
#define RESERVED 1
#define DATA 2
#define GAP 3
#define END 4

#define CELLS 4
#define SECOND 2 /* the first cell of the second segment */
#define NONE 15
#ifndef P
#define P 2
#endif
#ifndef C
#define C 1
#endif

byte state[CELLS];
byte owner[CELLS];     /* the slot that claimed it */
bool locked[P];        /* slots */
byte mark;             /* the highest cell anybody slept on, + 1 */
byte sleeps_on[C];     /* NONE: awake */
byte read_to[C];
bool dead[P];
bool died_with[P];     /* a slot was dropped by the dead */
byte acked[P];         /* the cell, + 1 */
bool revoked[CELLS];
byte kills;
byte rounds;

/* FUTEX_WAKE, one: whichever of them the kernel likes. */
inline wake_one(k) {
  atomic {
    if
    :: sleeps_on[0] == k -> sleeps_on[0] = NONE
#if C == 2
    :: sleeps_on[1] == k -> sleeps_on[1] = NONE
#endif
    :: else
    fi
  }
}

/* Behind a change that made cell k final. */
inline wake_sleepers(k, seen_mark) {
  seen_mark = mark;
  if
  :: seen_mark > k -> wake_one(k)
  :: else
  fi;
  seen_mark = 0
}

inline next_cell(k) {
  if
  :: state[k] == END -> k = SECOND
  :: else -> k++
  fi
}

/* Swaps exactly RESERVED by `who` for a gap. */
inline end_claim(k, who, why, seen_mark) {
  atomic {
    if
    :: state[k] == RESERVED && owner[k] == who -> state[k] = GAP; revoked[k] = why; done = true
    :: else -> done = false
    fi
  }
#ifndef GAP_WAKES_NOBODY
  if
  :: done -> wake_sleepers(k, seen_mark)
  :: else
  fi;
#endif
  done = false
}

proctype Producer(byte me) {
  byte slot = NONE;
  byte k = 0;
  byte seen_mark = 0;
  bool done = false;
  bool big = false;
#ifdef ROLLS
  big = (me == 0);
#endif
  {
    /* A slot, and what its last holder left. */
    atomic {
      if
      :: !locked[0] -> locked[0] = true; slot = 0
#if P == 2
      :: else -> locked[1] = true; slot = 1
#endif
      fi
    }
#ifndef SLOT_UNRESOLVED
    if
    :: atomic { died_with[slot] -> died_with[slot] = false };
       do
       :: k >= CELLS || state[k] == FREE -> break
       :: else ->
          if
          :: state[k] == RESERVED && owner[k] == slot -> end_claim(k, slot, false, seen_mark)
          :: else
          fi;
          next_cell(k)
       od;
       k = 0
    :: else
    fi;
#endif
    /* Reserve. */
    do
    :: k >= CELLS -> goto over
    :: k < CELLS ->
       if
       :: big && k < SECOND ->
          atomic {
            if
            :: state[k] == FREE -> state[k] = END; done = true
            :: else -> done = false
            fi
          }
          if
          :: done ->
#ifndef END_WAKES_NOBODY
             wake_sleepers(k, seen_mark);
#endif
             done = false; k = SECOND
          :: else -> next_cell(k)
          fi
       :: else ->
          /* Nobody places a record beyond its segment: the last cell before SECOND takes one or an END. */
          atomic {
            if
            :: state[k] == FREE && !(k == SECOND - 1 && k > 0) -> state[k] = RESERVED; owner[k] = slot; done = true
            :: state[k] == FREE && k == SECOND - 1 && k > 0 -> state[k] = END; done = false; big = false
            :: else -> done = false
            fi
          }
          if
          :: done -> break
          :: !done && state[k] == END -> wake_sleepers(k, seen_mark); k = SECOND
          :: else -> next_cell(k)
          fi
       fi
    od;
    done = false;
    /* Fill; then commit, or give it up. */
    if
#ifdef ABANDONS
    :: end_claim(k, slot, false, seen_mark); goto over
#endif
    :: true
    fi;
#ifdef NO_FENCE
    /* The read of the mark may overtake the store. */
    if
    :: seen_mark = mark
    :: true
    fi;
#endif
    atomic {
#ifdef PLAIN_COMMIT
      assert(state[k] == RESERVED && owner[k] == slot);
      state[k] = DATA; done = true
#else
      if
      :: state[k] == RESERVED && owner[k] == slot -> state[k] = DATA; done = true
      :: else -> assert(revoked[k]); done = false
      fi
#endif
    }
    if
    :: done ->
#ifdef NO_FENCE
       if
       :: seen_mark > k -> wake_one(k)
       :: else
       fi;
       seen_mark = 0;
#else
       wake_sleepers(k, seen_mark);
#endif
       acked[me] = k + 1
    :: else
    fi;
  over:
#ifdef KEEPS
    done = false
#else
    atomic { done = false; locked[slot] = false; slot = NONE }
#endif
  } unless {
    atomic { dead[me] -> skip }
  }
  /* The kernel drops the lock of the dead. */
  atomic {
    if
    :: dead[me] && slot != NONE -> locked[slot] = false; died_with[slot] = true
    :: else
    fi;
    slot = 0; k = 0; seen_mark = 0; done = false; big = false
  }
}

/* A consumer that may write: it repairs what it waits for. */
proctype Consumer(byte me) {
  byte k = 0;
  byte seen = 0;
  byte who = 0;
  byte seen_mark = 0;
  bool done = false;
  bool probed = false;
  do
  :: k >= CELLS -> break
  :: k < CELLS ->
#ifdef PROBE_FIRST
     /* Whoever would own it: as remembered from before. */
     atomic { probed = locked[0] };
#endif
     atomic { seen = state[k]; who = owner[k] };
     if
     :: seen == DATA || seen == GAP -> k++; read_to[me] = k
     :: seen == END -> k = SECOND; read_to[me] = k
     :: seen == RESERVED || seen == FREE ->
        /* It looks at the owner, now and then. */
        if
        :: seen == RESERVED ->
#ifdef PROBE_FIRST
           if
           :: who == 0 && !probed -> end_claim(k, who, false, seen_mark)
           :: else
           fi
#else
           if
           :: !locked[who] -> end_claim(k, who, false, seen_mark)
           :: else
           fi
#endif
#ifdef REVOKES
        :: seen == RESERVED -> end_claim(k, who, true, seen_mark)
#endif
        /* Not yet; behind a sleep that ended by itself it does. */
        :: rounds == 0 || seen == FREE -> skip
        fi;
#ifdef MARK_LATE
        atomic {
          if
          :: state[k] == seen -> done = true
          :: else -> done = false
          fi
        }
#endif
        /* Raise the mark, compare and sleep. */
        atomic {
          if
          :: mark < k + 1 -> mark = k + 1
          :: else
          fi
        }
        atomic {
          if
#ifdef MARK_LATE
          :: done -> sleeps_on[me] = k
#else
          :: state[k] == seen -> sleeps_on[me] = k
#endif
          :: else
          fi;
          done = false
        }
       sleeping:
        if
        :: sleeps_on[me] == NONE -> skip
        fi;
#ifndef NOT_PASSED_ON
        if
        :: state[k] == DATA || state[k] == GAP || state[k] == END -> wake_one(k)
        :: else
        fi
#else
        skip
#endif
     fi;
     atomic { seen = 0; who = 0; probed = false }
  od
}

#ifdef DIES
active proctype Killer() {
  do
  :: atomic { kills < 1 && !dead[0] && acked[0] == 0 -> dead[0] = true; kills++ }
#if P == 2
  :: atomic { kills < 1 && !dead[1] && acked[1] == 0 -> dead[1] = true; kills++ }
#endif
  :: break
  od
}
#endif

/* Nothing can go on any more. */
active proctype Judge() {
  byte c = 0;
again:
  timeout;
  /* Bounded sleeps end: that heals a death between commit and wake, and is all that they are for. */
  if
  :: atomic { kills > 0 && rounds < 3 -> 
     rounds++;
     sleeps_on[0] = NONE;
#if C == 2
     sleeps_on[1] = NONE
#endif
     }; goto again
  :: else
  fi;
  d_step {
    c = 0;
    do
    :: c < C ->
       if
       :: sleeps_on[c] != NONE ->
          assert(state[sleeps_on[c]] == FREE)
       :: else
       fi;
       c++
    :: else -> break
    od;
    c = 0;
    do
    :: c < P ->
       if
       :: acked[c] != 0 ->
          assert(state[acked[c] - 1] == DATA);
          assert(state[0] != FREE);
          assert(acked[c] <= SECOND || state[SECOND] != FREE);
          assert(read_to[0] >= acked[c] && read_to[C - 1] >= acked[c])
       :: else
       fi;
       c++
    :: else -> break
    od
  }
}

init {
  atomic {
    sleeps_on[0] = NONE;
#if C == 2
    sleeps_on[1] = NONE;
    run Consumer(1);
#endif
#if P == 2
    run Producer(1);
#endif
    run Producer(0);
    run Consumer(0)
  }
}
