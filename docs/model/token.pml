/* THE TOKEN: who may act on the appliance (laws 3, 4, 5, 8 and 13), without saying what the acting is.
 *
 * Abstracts rdscsi/controller/leadership.py (lead), rdscsi/controller/keeper.py (the loop), Device._write_marker and the
 * guard of every line (routeros/lines.py, AGAIN). volume.pml and publication.pml take what is shown here as given: their
 * take-over is one step. What is where: the appliance, its lines, the controllers, the orchestrator.
 *
 * Properties
 *   STALE   once a holder of the token has begun to act, no statement of an earlier holder takes effect any more
 *   LEADER  when the faults are over, whoever holds the Lease leads and its work gets done
 *   QUIET   no two controllers take the token from each other without end
 */

/* --- bounds: how much goes wrong; run.py sets them */
#ifndef NC
#define NC 2            /* controllers, each with a journal of its own */
#endif
#ifndef MOVES
#define MOVES 0         /* the Lease goes to the other controller */
#endif
#ifndef LOSS
#define LOSS 0          /* replies lost; the line goes on, as long as it likes */
#endif
#ifndef CRASH
#define CRASH 0         /* a controller's process dies and starts again, its journal intact */
#endif
#ifndef JLOST
#define JLOST 0         /* ... with an empty journal */
#endif
#ifndef POWER
#define POWER 0         /* the appliance loses what it has not flushed, and all that runs */
#endif
#ifndef WORK
#define WORK 3          /* things that the orchestrator wants done */
#endif
#ifndef FRESH_APPLIANCE
#define FRESH_APPLIANCE 0  /* 1: no marker yet; both controllers start on it with empty journals */
#endif
#ifndef DOUBLE_SLOT
#define DOUBLE_SLOT 0   /* 1: the appliance accepts a second item in a slot (a guess the other way: not probed) */
#endif
#ifndef GAP
#define GAP 1           /* between a check and its statement another line may run */
#endif

/* --- ingredients: 1 as the laws say, 0 dropped */
#ifndef TOKEN
#define TOKEN 1         /* law 4: each statement checks the token directly before */
#endif
#ifndef SWAP
#define SWAP 1          /* law 8: the token line is compare-and-swap (surveys.move_token) */
#endif
#ifndef WAIT
#define WAIT 1          /* law 4: after a move nothing is sent for the longest statement (Device._write_marker) */
#endif
#ifndef PERSIST
#define PERSIST 2       /* nothing is sent before the token is persistent: 2 always, 1 after another journal, 0 never */
#endif
#ifndef WINDOW
#define WINDOW 1        /* law 4: each line carries its window of uptime, so a reboot shows */
#endif
#ifndef LEASE
#define LEASE 1         /* law 8: the token moves only with leadership; 0: everybody who has none takes it */
#endif
#ifndef RETAKE
#define RETAKE 1        /* law 8: whoever holds the Lease takes the token again; 0: stands by once its journal knows things */
#endif
#ifndef LONE
#define LONE 1          /* law 3: the marker is read with exactly one match in its slot; 0: counted with its comment only */
#endif

#define NL (NC+1)       /* lines on the console: one awaited by each controller, and one that outlived its session */
#define LATE NC
#define FREE 0
#define RUN 1
#define OVER 2
/* how a line ended */
#define DONE 1
#define FENCED 2        /* lines.FENCED */
#define REBOOT 3        /* lines.OUT_OF_WINDOW: the uptime fell */
#define CHANGED 4       /* surveys.MARKER_CHANGED, or the appliance refused a second item in the slot */
#define LOST 5
/* kinds of lines */
#define FIRST 1         /* surveys.first_marker */
#define MOVE 2          /* surveys.move_token */
#define ACT 3           /* any line of lines.py, cut down to one mutating statement */

/* ---- the appliance: the marker now, and as flushed. A token is a fresh random value, told apart by its number */
byte mark, markJ, markC;        /* token (0: no marker), journal id, counter */
byte twin;                      /* a second marker in the same slot (DOUBLE_SLOT) */
byte keptMark, keptJ, keptC, keptTwin;
byte boot = 1;
/* ---- lines */
byte kind[NL], state[NL], want[NL], give[NL], giveJ[NL], giveC[NL], lboot[NL], ended[NL];
bool checked[NL];
/* ---- the rest of the world */
byte lease = 0;
byte journal[NC], counter[NC];  /* id of each journal, and the highest token counter it knows */
bool dies[NC], loses[NC];
byte fresh = 1, freshJ = 1;
byte todo;                      /* what the orchestrator wants: 0 nothing, 1 asked, 2 taken up, 3 done */
byte reign;                     /* ghost: the youngest token under which a line has passed its check */
byte loss = LOSS, moves = MOVES, crash = CRASH, jlost = JLOST, power = POWER;

#define MANY 14                 /* tokens: more than any run without a quarrel takes */
#define HOLDS(condition, text) if :: (condition) -> skip :: else -> printf(text); assert(false) fi
#if LONE
#define SEES(token) (mark == (token) && twin == 0)
#else
#define SEES(token) (mark == (token) || twin == (token))
#endif
#define PERSISTENT (power == 0 || (keptMark == mark && keptTwin == twin))

inline wipe(i) { kind[i] = 0; want[i] = 0; give[i] = 0; giveJ[i] = 0; giveC[i] = 0; lboot[i] = 0; checked[i] = false }
inline over(i, how) { wipe(i); if :: i == LATE -> state[i] = FREE :: else -> state[i] = OVER; ended[i] = how fi }

inline check(i) {               /* what the line looks at directly before its statement */
  if
  :: WINDOW && lboot[i] != boot -> over(i, REBOOT)
  :: !(WINDOW && lboot[i] != boot) && kind[i] == ACT && TOKEN && !SEES(want[i]) -> over(i, FENCED)
  :: !(WINDOW && lboot[i] != boot) && kind[i] == FIRST && mark != 0 -> over(i, CHANGED)
  :: !(WINDOW && lboot[i] != boot) && kind[i] == MOVE && SWAP && !SEES(want[i]) -> over(i, CHANGED)
  :: else -> checked[i] = true;
       if :: kind[i] == ACT && want[i] > reign -> reign = want[i] :: else fi
  fi }

inline act(i) {                 /* the statement */
  if
  :: kind[i] == ACT ->
       printf("appliance: a statement under token %d takes effect\n", want[i]);
       HOLDS(want[i] >= reign, "BROKEN STALE: an earlier holder's statement takes effect\n");
       over(i, DONE)
  :: kind[i] == MOVE -> printf("appliance: the token moves from %d to %d\n", mark, give[i]);
       mark = give[i]; markJ = giveJ[i]; markC = giveC[i]; over(i, DONE)
  :: kind[i] == FIRST && mark == 0 -> printf("appliance: the first marker, token %d\n", give[i]);
       mark = give[i]; markJ = giveJ[i]; markC = giveC[i]; over(i, DONE)
  :: kind[i] == FIRST && mark != 0 && !DOUBLE_SLOT -> over(i, CHANGED)
  :: kind[i] == FIRST && mark != 0 && DOUBLE_SLOT -> printf("appliance: a second marker, token %d\n", give[i]);
       twin = give[i]; over(i, DONE)
  fi }

inline step(i) { if :: checked[i] -> act(i) :: else -> check(i); if :: checked[i] && !GAP -> act(i) :: else fi fi }

active proctype Appliance() {
end: do
  :: d_step { state[0] == RUN -> step(0) }
#if NC > 1
  :: d_step { state[1] == RUN -> step(1) }
#endif
  :: d_step { state[LATE] == RUN -> step(LATE) }
  :: d_step { power > 0 && !PERSISTENT ->
       printf("appliance: flushes token %d\n", mark);
       keptMark = mark; keptJ = markJ; keptC = markC; keptTwin = twin }
  :: d_step { power > 0 -> power--; boot++;
       mark = keptMark; markJ = keptJ; markC = keptC; twin = keptTwin;
       printf("appliance: power loss; the marker is back at token %d\n", mark);
       if :: power == 0 -> keptMark = 0; keptJ = 0; keptC = 0; keptTwin = 0 :: else fi;
       if :: state[0] == RUN -> over(0, LOST) :: else fi;
#if NC > 1
       if :: state[1] == RUN -> over(1, LOST) :: else fi;
#endif
       wipe(LATE); state[LATE] = FREE }
  od }

/* A statement whose check passed before the token moved: it may still take effect (law 4, longest statement). */
#define UNDERWAY(i) (checked[i] && want[i] != mark)
#if NC > 1
#define ANY_UNDERWAY (UNDERWAY(0) || UNDERWAY(1) || UNDERWAY(LATE))
#else
#define ANY_UNDERWAY (UNDERWAY(0) || UNDERWAY(LATE))
#endif
#define LEADS(c) (!LEASE || lease == c)

/* Send a line and await its end. The reply may be lost while the line goes on. */
inline send(k, w, g) {
  atomic { kind[c] = k; want[c] = w; give[c] = g; giveJ[c] = journal[c]; giveC[c] = newC; lboot[c] = seenBoot; state[c] = RUN };
  if
  :: atomic { state[c] == OVER -> how = ended[c]; state[c] = FREE; ended[c] = 0 }
  :: atomic { loss > 0 && state[c] == RUN && state[LATE] == FREE -> loss--; how = LOST;
       printf("controller %d: the reply is lost, its line goes on\n", c);
       state[LATE] = RUN; kind[LATE] = kind[c]; want[LATE] = want[c]; give[LATE] = give[c]; giveJ[LATE] = giveJ[c];
       giveC[LATE] = giveC[c]; lboot[LATE] = lboot[c]; checked[LATE] = checked[c];
       state[c] = FREE; wipe(c) }
  fi }

proctype Controller(byte c) {
  byte token;                   /* Device.marker: the token under which this one acts; 0: none */
  byte seenBoot;                /* Device._sighting: the boot whose uptime was read last */
  byte old, newC, new, how;
  bool other, busy;             /* the token was another journal's; the work is in these hands */
endlife:
  { endturn: do
    /* leadership.lead: look, decide, write the marker; with two markers a person must look */
    :: atomic { token == 0 && LEADS(c) && twin == 0 && (RETAKE || mark == 0 || markJ == journal[c] || counter[c] == 0) ->
         seenBoot = boot; old = mark; other = (mark != 0 && markJ != journal[c]);
         newC = (counter[c] > markC -> counter[c] : markC) + 1;
         new = fresh; fresh++;
         HOLDS(fresh < MANY, "BROKEN QUIET: the token is taken again and again\n");
         printf("controller %d: sees token %d, wants to write %d\n", c, old, new) };
       if :: old == 0 -> send(FIRST, 0, new) :: else -> send(MOVE, old, new) fi;
       if
       :: atomic { how == DONE -> token = new; counter[c] = newC };   /* the line's own read-back showed it */
          printf("controller %d: holds token %d\n", c, token);
          if :: WAIT -> !ANY_UNDERWAY :: else fi;
          if :: PERSIST == 2 || (PERSIST == 1 && other) -> (PERSISTENT || boot != seenBoot) :: else fi
       :: how != DONE -> skip
       fi;
       atomic { old = 0; newC = 0; new = 0; how = 0; other = false }
    /* an operation: one line. Nothing is asked of the Lease here: it may be lost since. */
    :: atomic { token != 0 && todo == 1 -> todo = 2; busy = true };
       send(ACT, token, 0);
       atomic {
         busy = false; if :: how == DONE -> todo = 3 :: else -> todo = 1 fi;
         if
         :: how == FENCED -> token = 0; printf("controller %d: is fenced\n", c)
         :: how == REBOOT -> seenBoot = boot; printf("controller %d: sees that the appliance has rebooted\n", c)
         :: else
         fi; how = 0 }
    /* hears that the Lease is gone, sooner or later */
    :: atomic { token != 0 && !LEADS(c) -> token = 0; printf("controller %d: stands by\n", c) }
    od
  } unless { atomic { dies[c] ->
      dies[c] = false; printf("controller %d: dies and starts again\n", c);
      if
      :: state[c] == RUN && state[LATE] == FREE ->
           state[LATE] = RUN; kind[LATE] = kind[c]; want[LATE] = want[c]; give[LATE] = give[c]; giveJ[LATE] = giveJ[c];
           giveC[LATE] = giveC[c]; lboot[LATE] = lboot[c]; checked[LATE] = checked[c]
      :: else
      fi;
      if :: busy -> todo = 1 :: else fi;
      if :: loses[c] -> loses[c] = false; freshJ++; journal[c] = freshJ; counter[c] = 0 :: else fi;
      state[c] = FREE; ended[c] = 0; wipe(c);
      token = 0; seenBoot = 0; old = 0; newC = 0; new = 0; how = 0; other = false; busy = false; goto endlife } }
}

active proctype Orchestrator() {
  byte n;
  do
  :: n < WORK -> todo = 1; atomic { todo == 3 -> todo = 0; n++ }
  :: n == WORK -> break
  od;
  n = 0 }

active proctype World() {
end: do
  :: atomic { moves > 0 -> moves--; lease = 1 - lease; printf("cluster: the Lease goes to controller %d\n", lease) }
  :: atomic { crash > 0 && !dies[lease] -> crash--; dies[lease] = true;
       if :: jlost > 0 -> jlost--; loses[lease] = true :: skip fi }
  od }

/* Nothing moves any more: then everything that was wanted has been done. */
active proctype Monitor() { timeout -> HOLDS(todo == 0, "BROKEN LEADER: nobody does the work\n") }

init { atomic {
  freshJ = NC;
#if FRESH_APPLIANCE == 0
  fresh = 2; mark = 1; markJ = 1; markC = 1; counter[0] = 1;    /* controller 0 led before */
#if POWER > 0
  keptMark = 1; keptJ = 1; keptC = 1;
#endif
#endif
  journal[0] = 1; run Controller(0);
#if NC > 1
  journal[1] = 2; run Controller(1);
#endif
} }
