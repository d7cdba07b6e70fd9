/* Group commit: tickets, the sync lock, D, the floors, and the counter on which those who wait sleep (docs/durability.md).
 *
 * Cells stand for record words. Each publisher claims the first FREE cell, commits it and waits until it is durable; who
 * finds no sync under way runs one for all. What is checked, in all interleavings:
 *   - who is told durable, is: its record is on the disk
 *   - everything final below D is on the disk, and D is never beyond an open claim
 *   - nobody sleeps for ever: when nothing can go on any more, all have been answered
 *
 * A sync writes each cell with what stood there at some time between its begin and its end: here, at its begin, the
 * least that can be relied on.
 *
 * Built with   -DDIES   a publisher may die between any two steps; sleeps are bounded then
 *              -DSTOPS  the holder of the sync lock may be stopped for good; who has waited in vain goes ahead without it
 *              -DFAILS  one sync may fail: all are told so, and nobody is told durable on account of a later one
 * and with one planted fault, which must be found:
 *              -DSLEEP_ON_WATERMARK  sleepers compare D instead of the event counter
 *              -DEARLIER_SYNC        the number of a sync that had begun before is enough
 *              -DFLOOR_EARLY         the floor is cleared before the commit
 *              -DFLOORS_FIRST        the floors are read before the tail is looked for
 *              -DEVENT_LATE          the event counter is read behind the try for the lock
 *              -DFAILED_WAKES_NOBODY (with FAILS)
 *              -DPATIENT_FOR_EVER    (with STOPS)
 */
#define FREE 0
#define RESERVED 1
#define DATA 2
#define GAP 3

#ifndef P
#define P 2
#endif
#define CELLS P
#define NONE 15

byte state[CELLS];
byte owner[CELLS];
bool disk[CELLS];
byte floor[P];         /* the cell where a walk began, + 1; 0: none */
bool slot_held[P];
byte started, done_to, D, event;
bool sync_locked;
byte holder = NONE;
bool failed;
byte failures;
bool asleep[P];
byte answered[P];      /* 1: durable, 2: not */
bool dead[P];
bool stopped[P];
byte harm;             /* deaths and stops */
byte rounds;
bool late[P];          /* woken by a bound: patience is over */

#define FIRST_OPEN(c) (state[c] == RESERVED)

proctype Publisher(byte me) {
  byte k = 0;
  byte mine = NONE;
  byte ticket = 0;
  byte seen = 0;
  byte number = 0;
  byte t = 0;
  byte c = 0;
  byte i = 0;
  byte snap = 0;      /* bit i: cell i is DATA as the sync begins */
  bool locked = false;
  bool won = false;
  {
    /* Claim. */
    floor[me] = 1;
    do
    :: k < CELLS ->
       atomic {
         if
         :: state[k] == FREE -> state[k] = RESERVED; owner[k] = me; won = true
         :: else -> won = false
         fi
       }
       if
       :: won -> break
       :: else -> k++
       fi
    od;
    mine = k;
#ifdef FLOOR_EARLY
    floor[me] = 0;
#endif
    state[mine] = DATA;
#ifndef FLOOR_EARLY
    floor[me] = 0;
#endif
    ticket = started;
    /* Wait until it is durable. */
    do
    :: true ->
       seen = event;
#ifdef SLEEP_ON_WATERMARK
       seen = D;
#endif
#ifdef EARLIER_SYNC
       if
       :: done_to >= ticket && done_to > 0 -> goto durable
#else
       if
       :: done_to > ticket -> goto durable
#endif
       :: else
       fi;
       if
       :: failed -> answered[me] = 2; goto over
       :: else
       fi;
       atomic {
         if
         :: !sync_locked -> sync_locked = true; holder = me; locked = true
         :: else -> locked = false
         fi
       }
       if
#ifdef PATIENT_FOR_EVER
       :: locked ->
#else
       :: locked || late[me] ->
#endif
          late[me] = false;
          /* One sync. */
          atomic { started++; number = started }
#ifdef FLOORS_FIRST
          d_step {
            c = CELLS; i = 0;
            do
            :: i < P -> if :: floor[i] != 0 && floor[i] - 1 < c -> c = floor[i] - 1 :: else fi; i++
            :: else -> break
            od
          }
#endif
          t = 0;
          do
          :: t < CELLS && state[t] != FREE -> t++
          :: else -> break
          od;
#ifndef FLOORS_FIRST
          /* The slots are read one by one; each may change behind it. */
          c = CELLS; i = 0;
          do
          :: i < P -> if :: atomic { floor[i] != 0 && floor[i] - 1 < c -> c = floor[i] - 1 } :: else fi; i++
          :: else -> break
          od;
#endif
          /* From the lowest floor to the first open claim, or the tail. */
          do
          :: c < t && state[c] != RESERVED -> c++
          :: else -> break
          od;
          if
          :: c > t -> c = t
          :: else
          fi;
          d_step {
            snap = 0; i = 0;
            do
            :: i < CELLS -> if :: state[i] == DATA || state[i] == GAP -> snap = snap | (1 << i) :: else fi; i++
            :: else -> break
            od;
            i = 0
          }
          if
          :: d_step {
               i = 0;
               do
               :: i < CELLS -> if :: snap & (1 << i) -> disk[i] = true :: else fi; i++
               :: else -> break
               od;
               i = 0
             }
             won = true
#ifdef FAILS
          :: atomic { failures < 1 -> failures++; failed = true; won = false }
#endif
          fi;
          if
          :: won && !failed ->
             atomic { if :: done_to < number -> done_to = number :: else fi };
             atomic {
               if :: D < c -> D = c :: else fi;
               i = 0;
               do
               :: i < D -> assert(state[i] != RESERVED); assert(disk[i] || failed); i++
               :: else -> break
               od;
               i = 0
             }
          :: else -> won = false
          fi;
          if
          :: locked -> atomic { sync_locked = false; holder = NONE; locked = false }
          :: else
          fi;
#ifdef FAILED_WAKES_NOBODY
          if
          :: won ->
#endif
          event++;
          d_step { i = 0; do :: i < P -> asleep[i] = false; i++ :: else -> break od; i = 0 }
#ifdef FAILED_WAKES_NOBODY
          :: else
          fi
#endif
       :: else ->
#ifdef EVENT_LATE
          seen = event;
#endif
          atomic {
            if
#ifdef SLEEP_ON_WATERMARK
            :: D == seen -> asleep[me] = true
#else
            :: event == seen -> asleep[me] = true
#endif
            :: else
            fi
          }
          !asleep[me]
       fi;
       atomic { t = 0; c = 0; number = 0; snap = 0; won = false }
    od;
  durable:
    assert(disk[mine]);
    answered[me] = 1;
  over:
    skip
  } unless {
    atomic { dead[me] || stopped[me] -> skip }
  }
  atomic {
    if
    :: dead[me] ->
       /* The kernel drops its locks; who waits for the record proves the owner dead and makes it a gap. */
       if :: locked -> sync_locked = false :: else fi;
       if :: mine != NONE && state[mine] == RESERVED -> state[mine] = GAP :: else fi
    :: else
    fi;
    k = 0; mine = 0; ticket = 0; seen = 0; number = 0; t = 0; c = 0; i = 0; snap = 0; locked = false; won = false
  }
}

#if defined(DIES) || defined(STOPS)
active proctype Harm() {
  byte v = 0;
  do
  :: v < P - 1 -> v++
  :: break
  od;
  if
#ifdef DIES
  :: atomic { answered[v] == 0 -> dead[v] = true; harm++ }
#endif
#ifdef STOPS
  :: atomic { holder == v -> stopped[v] = true; harm++ }
#endif
  :: true
  fi
}
#endif

active proctype Judge() {
  byte v = 0;
again:
  timeout;
  if
  :: d_step { harm > 0 && rounds < 4 ->
       rounds++; v = 0;
       do :: v < P -> if :: asleep[v] -> asleep[v] = false; late[v] = rounds > 1 :: else fi; v++ :: else -> break od;
       v = 0
     }
     goto again
  :: else
  fi;
  d_step {
    v = 0;
    do
    :: v < P -> assert(answered[v] != 0 || dead[v] || stopped[v]); v++
    :: else -> break
    od
  }
}

init {
  atomic {
    run Publisher(0);
    run Publisher(1);
#if P == 3
    run Publisher(2)
#endif
  }
}
