/* WHO MAY REACH ONE VOLUME: publish, unpublish, epochs, fences, the permit to format (laws 4 to 8 and 13).
 *
 * Abstracts rdscsi/controller/{publications,fencing,inventory,judgement,repairs}.py, lines.publish and lines.unpublish. The
 * item has one export with one NQN, so "epoch" stands for the NQN. Nodes and the orchestrator are Kubernetes' at its worst.
 *
 * Properties
 *   FENCE   whoever was let out, and another let in after the set was empty, completes no write until it is let in again
 *   WRITERS one node at a time can write; two of a pair
 *   CUT     a node that was told that it is in is neither cut off nor refused
 *   SAME    publish repeated for a node that is in returns the same context
 *   PROVED  a node of which unpublish was acknowledged cannot reach the volume by that publication
 *   PERMIT  a permit to format is never handed out once data may be in the volume
 *   CLOSED  when all is quiet, what is exported is what the tag says, and what the orchestrator was told
 *   SETTLE  every call gets an answer other than "maybe" in the end
 */
#include "publication.h"

/* ---- a tag, as one number, compared as a whole: epoch, generation, nodes published, dirty, left; blank, permit, raw */
#define TAG_(ep_, gen_, pub_, dirty_, left_, blank_, permit_, raw_) \
  ((ep_) | ((gen_) << 4) | ((pub_) << 8) | ((dirty_) << 11) | ((left_) << 14) | ((blank_) << 17) | ((permit_) << 18) | ((raw_) << 19))
#define EP(t_) ((t_) & 15)
#define GEN(t_) (((t_) >> 4) & 15)
#define PUB(t_) (((t_) >> 8) & 7)
#define DIRT(t_) (((t_) >> 11) & 7)
#define GONE(t_) (((t_) >> 14) & 7)
#define BLANK(t_) (((t_) >> 17) & 1)
#define PERMIT(t_) (((t_) >> 18) & 1)
#define RAW(t_) (((t_) >> 19) & 1)
#define bit_(n_) (1 << (n_))
#define has(set, n_) (((set) >> (n_)) & 1)
#define without(set, n_) ((set) & ~bit_(n_))
#define FULL(set) ((set) == 3 || (set) == 5 || (set) == 6 || (set) == 7)

#define PUBLISH 1
#define UNPUBLISH 2
#define RESTORE 3
#define L_PUBLISH 1
#define L_UNPUBLISH 2
#define DONE 1
#define FENCED 3
#define REBOOT 4
#define LOST 5
#define OK 1
#define FINAL 2         /* NotPermittedNow: another node is in, or may still write */
#define MAYBE 3
#define HELP 4          /* Quarantined */
#define NL (NC+1)
#define LATE NC
#define RUN 1
#define OVER 2
#define NOBODY 9

/* ---- the appliance, now and as flushed */
int tag = TAG_(0, 1, 0, 0, 0, 1, 0, 0); bool ex; byte nqn;
int keptTag = TAG_(0, 1, 0, 0, 0, 1, 0, 0); bool keptEx; byte keptNqn;
byte mark = 1, markJ = 1, keptMark = 1, keptJ = 1, boot = 1;
/* ---- lines */
byte kind[NL], state[NL], tok[NL], lboot[NL], pc[NL]; int lold[NL], lnew[NL]; bool checked[NL], expired[NL];
byte sender = NOBODY, how[NC]; int shTag[NC]; bool shEx[NC]; byte shNqn[NC]; bool unsettled[NC];
/* ---- journals: the committed tag, the open intent (kind, node, raw) and the generation it was written at */
int rec[NC]; byte open[NC], node[NC], ogen[NC], jid[NC], seenTok[NC], jboot[NC]; bool oraw[NC], quar[NC], blankJ[NC];
int oRec; byte oOpen, oNode, oGen, oTok, oBoot; bool oRaw, copied;
byte lease; bool leads[NC], dies[NC], wipes[NC], reverts;
byte freshTok = 1, freshEp, freshJ = NC;
/* ---- the orchestrator and the nodes */
byte ask[NC], askN[NC], reply; bool askRaw[NC], waits[NC];
byte att[N], ctx[N], hold[N]; bool raw[N], permit[N], live[N];  /* 0 out, 1 asked for, 2 in, 3 leaving; context; what it connects to */
byte zombie, fenced;                    /* nodes out of control; ghost: nodes that must not write */
bool fs, rawData, finished, helped, undone, moved;    /* data in the volume; ...; the epoch is new */
byte tries;
byte loss = LOSS, crash = CRASH, jlost = JLOST, jold = JOLD, moves = MOVES, power = POWER, zombies = ZOMBIES;

#define HOLDS(condition, text) if :: (condition) -> skip :: else -> printf(text); assert(false) fi
#define fault(budget) budget--; tries = 0
#if CUTS
#define WRITES(n_) (hold[n_] != 0 && ex && nqn == hold[n_])
#else
#define WRITES(n_) live[n_]
#endif
#define LEGIT(n_) (att[n_] == 2 && ex && nqn == ctx[n_])
#define ROBBED(n_) (att[n_] == 2 && !LEGIT(n_))
#define SUSPECT(n_) (hold[n_] != 0 || has(zombie, n_))       /* its unstage is not proven */
#if N == 3
#define EACH(what, op_) (what(0) op_ what(1) op_ what(2))
#define SUSPECTS ((SUSPECT(0) -> 1 : 0) | (SUSPECT(1) -> 2 : 0) | (SUSPECT(2) -> 4 : 0))
#else
#define EACH(what, op_) (what(0) op_ what(1))
#define SUSPECTS ((SUSPECT(0) -> 1 : 0) | (SUSPECT(1) -> 2 : 0))
#endif
#define FENCEBREACH(n_) (WRITES(n_) && has(fenced, n_))

/* ================================================================== lines on the console */

inline wipe(i) { kind[i] = 0; tok[i] = 0; lboot[i] = 0; lold[i] = 0; lnew[i] = 0; pc[i] = 0; checked[i] = false; expired[i] = false }
inline over(i, result) {
  if
  :: i == LATE -> state[i] = 0; sender = NOBODY
  :: else -> state[i] = OVER; how[i] = result;
       if :: result == DONE -> shTag[i] = tag; shEx[i] = ex; shNqn[i] = nqn :: else fi
  fi; wipe(i) }

#if TAG
#define ITS(i) (tag == lold[i] || tag == lnew[i])
#define OLD(i) (tag == lold[i])
#define NEW(i) (tag == lnew[i])
#else
#define ITS(i) true
#define OLD(i) true
#define NEW(i) true
#endif
#define NEEDED(i) ( \
  (kind[i] == L_PUBLISH && ((pc[i] == 1 && ITS(i) && ex && nqn != EP(lnew[i])) || (pc[i] == 2 && lold[i] != lnew[i] && OLD(i)) || \
                            (pc[i] == 3 && NEW(i) && !ex && nqn != EP(lnew[i])) || \
                            (pc[i] == 4 && NEW(i) && !ex && nqn == EP(lnew[i])))) || \
  (kind[i] == L_UNPUBLISH && ((pc[i] == 1 && ITS(i) && ex) || (pc[i] == 2 && lold[i] != lnew[i] && OLD(i) && !ex))) )
#define LAST(i) (kind[i] == L_PUBLISH -> 4 : 2)
#define MAY(i) ((!TOKEN || tok[i] == mark) && (!WINDOW || lboot[i] == boot) && !(EXPIRY && expired[i]))

inline act(i) {
  if
  :: pc[i] == 1 -> printf("appliance: export off (epoch %d)\n", nqn);
       HOLDS(undone || !EACH(LEGIT, ||), "BROKEN CUT: a node that is in is cut off\n"); ex = false
  :: pc[i] == 2 -> tag = lnew[i]; printf("appliance: tag: epoch %d, in %d, dirty %d, left %d\n", EP(tag), PUB(tag), DIRT(tag), GONE(tag))
  :: pc[i] == 3 -> if :: !ex -> nqn = EP(lnew[i]) :: else fi
  :: pc[i] == 4 -> ex = true; printf("appliance: export on (epoch %d)\n", nqn)
  fi; checked[i] = false; pc[i] = pc[i] + 1 }

inline step(i) {
  if
  :: checked[i] -> act(i)
  :: else ->
       do :: pc[i] > 0 && pc[i] <= LAST(i) && !NEEDED(i) -> pc[i] = pc[i] + 1 :: else -> break od;
       if
       :: pc[i] > LAST(i) -> over(i, DONE)
       :: pc[i] <= LAST(i) && !MAY(i) -> if :: WINDOW && lboot[i] != boot -> over(i, REBOOT) :: else -> over(i, FENCED) fi
       :: pc[i] == 0 && MAY(i) -> pc[i] = 1
       :: pc[i] > 0 && pc[i] <= LAST(i) && MAY(i) -> checked[i] = true; if :: GAP -> skip :: else -> act(i) fi
       fi
  fi }

#if POWER
#define KEPT (power == 0 || (keptTag == tag && keptEx == ex && keptNqn == nqn && keptMark == mark && keptJ == markJ))
#else
#define KEPT true
#endif

active proctype Appliance() {
end: do
  :: d_step { state[0] == RUN -> step(0) }
#if NC > 1
  :: d_step { state[1] == RUN -> step(1) }
#endif
  :: d_step { state[LATE] == RUN -> step(LATE) }
#if POWER
  :: d_step { !KEPT -> keptTag = tag; keptEx = ex; keptNqn = nqn; keptMark = mark; keptJ = markJ; printf("appliance: flushes\n") }
  :: d_step { power > 0 -> fault(power); boot++;
       if :: UNFLUSHED_OK && keptTag != tag -> undone = true :: else fi;
       tag = keptTag; ex = keptEx; nqn = keptNqn; mark = keptMark; markJ = keptJ;
       printf("appliance: power loss; tag: epoch %d, in %d; exported %d, epoch %d; token %d\n", EP(tag), PUB(tag), ex, nqn, mark);
       if :: power == 0 -> keptTag = 0; keptEx = 0; keptNqn = 0; keptMark = 0; keptJ = 0 :: else fi;
       live[0] = false; live[1] = false;
#if N == 3
       live[2] = false;
#endif
       if :: state[0] == RUN -> over(0, LOST) :: else fi; unsettled[0] = false;
#if NC > 1
       if :: state[1] == RUN -> over(1, LOST) :: else fi; unsettled[1] = false;
#endif
       wipe(LATE); state[LATE] = 0; sender = NOBODY }
#endif
  od }

/* ================================================================== a controller */

/* A statement whose check passed before the token moved: it may still take effect (law 4, longest statement). */
#if NC > 1
#define UNDERWAY ((state[LATE] == RUN && checked[LATE] && tok[LATE] != token) || (state[1-c] == RUN && checked[1-c]))
#else
#define UNDERWAY (state[LATE] == RUN && checked[LATE] && tok[LATE] != token)
#endif

inline waitSettled() {                  /* Device.wait_settled */
  if
  :: WAIT && unsettled[c] -> atomic { if :: sender == c -> expired[LATE] = true :: else fi };
       atomic { sender != c || !EXPIRY || !checked[LATE];
                if :: EXPIRY && sender == c -> wipe(LATE); state[LATE] = 0; sender = NOBODY :: else fi; unsettled[c] = false }
  :: else
  fi }
inline abandonLine() {                  /* the line outlives its session */
  if
  :: state[c] == RUN && state[LATE] == 0 ->
       state[LATE] = RUN; kind[LATE] = kind[c]; tok[LATE] = tok[c]; lboot[LATE] = lboot[c]; lold[LATE] = lold[c];
       lnew[LATE] = lnew[c]; pc[LATE] = pc[c]; checked[LATE] = checked[c]; sender = c; unsettled[c] = true
  :: else
  fi;
  wipe(c); state[c] = 0; how[c] = 0; shTag[c] = 0; shEx[c] = 0; shNqn[c] = 0 }
inline aftermath() {
  if
  :: r == FENCED -> leads[c] = false; printf("controller %d: is fenced\n", c)
  :: r == REBOOT -> whole = false
  :: else
  fi }

/* Device._mutate with the line in k, from tag s to tag v. At DONE, s, x and q are what the line's end showed. */
inline send() {
  waitSettled();
  atomic { suspect = true; kind[c] = k; tok[c] = token; lboot[c] = seenBoot; lold[c] = s; lnew[c] = v; state[c] = RUN; k = 0; v = 0 };
  if
  :: atomic { state[c] == OVER -> r = how[c]; state[c] = 0; how[c] = 0;
       if :: r == DONE -> s = shTag[c]; x = shEx[c]; q = shNqn[c]; suspect = false; cutAt = cutAt || !x :: else fi;
       shTag[c] = 0; shEx[c] = 0; shNqn[c] = 0; aftermath() }
  :: atomic { loss > 0 && state[c] == RUN && state[LATE] == 0 -> fault(loss); r = LOST;
       printf("controller %d: the reply of its line is lost\n", c); abandonLine() }
  fi }
inline observe() {                      /* Device.observe, Device.inventory */
  d_step {
    if
    :: seenBoot != boot -> r = REBOOT
    :: seenBoot == boot && mark != token -> r = FENCED
    :: else -> r = DONE; s = tag; x = ex; q = nqn; suspect = false
    fi;
    aftermath() } }

#define AS_TAGGED (PUB(s) != 0 -> (x && q == EP(s)) : !x)
#define STOOD (FELL && jboot[c] == seenBoot)
#define NEXT(pub_, dirty_, left_) TAG_(EP(s), GEN(s) + 1, pub_, dirty_, left_, BLANK(s) && !(fs && SHOWN && PERMIT_BLANK), PERMIT(s), RAW(s))

inline judge() {                        /* judgement._compared, and the repair it wants */
  d_step { if
    :: r != DONE -> skip
    :: r == DONE && rec[c] == 0 -> rec[c] = s                                               /* LEARN, then look again */
    :: r == DONE && rec[c] != 0 && GEN(s) < GEN(rec[c]) && TAKE_BACK && !STOOD -> v = rec[c]; open[c] = 0
    :: r == DONE && rec[c] != 0 && GEN(s) < GEN(rec[c]) && !(TAKE_BACK && !STOOD) -> rec[c] = s; open[c] = 0
    :: r == DONE && rec[c] != 0 && GEN(s) >= GEN(rec[c]) && open[c] != 0 -> whole = true     /* UNFINISHED */
    :: r == DONE && rec[c] != 0 && GEN(s) > GEN(rec[c]) && open[c] == 0 -> rec[c] = s         /* LEARN, then look again */
    :: r == DONE && rec[c] != 0 && GEN(s) == GEN(rec[c]) && open[c] == 0 && s != rec[c] -> quar[c] = true; whole = true
    :: r == DONE && rec[c] != 0 && s == rec[c] && open[c] == 0 -> if :: AS_TAGGED -> whole = true :: else -> v = s fi
    fi;
    if :: v != 0 -> k = (PUB(v) != 0 -> L_PUBLISH : L_UNPUBLISH) :: else fi;
    if :: whole -> jboot[c] = seenBoot :: else fi } }

/* fencing.admit, fencing.dismiss. Sets ans, or the line in k and v; `moved` when the epoch is new. */
inline decide() {
  atomic { if
    :: r != DONE -> ans = MAYBE
    :: r == DONE && quar[c] -> ans = HELP
    :: r == DONE && !quar[c] && t == PUBLISH && has(PUB(s), n) ->                            /* _admit_again: the same epoch */
         if :: EMPTY_ONLY -> v = s :: else -> freshEp++; v = (NEXT(PUB(s), DIRT(s), GONE(s)) & ~15) | freshEp fi; k = L_PUBLISH
    :: r == DONE && !quar[c] && t == PUBLISH && !has(PUB(s), n) && PUB(s) != 0 ->
         if
         :: PAIR && !FULL(PUB(s) | (DIRTY -> without(DIRT(s), n) : 0)) -> k = L_PUBLISH;
              v = NEXT(PUB(s) | bit_(n), without(DIRT(s), n), without(GONE(s), n))
         :: else -> ans = FINAL
         fi
    :: r == DONE && !quar[c] && t == PUBLISH && PUB(s) == 0 ->
         w = without((EVIDENCE -> (GONE(s) & SUSPECTS) : 0) | (DIRT(s) & SUSPECTS), n);
         if
         :: w != 0 && !PROVEN -> ans = FINAL                                                /* law 8: the cut is not proven */
         :: else -> if :: FRESH -> freshEp++ :: else -> freshEp = 1 fi;
              k = L_PUBLISH; b = BLANK(s) && !(PERMIT_BLANK && fs && SHOWN);
              v = TAG_(freshEp, GEN(s) + 1, bit_(n), 0, 0, b && !(PERMIT_BLANK && a), b && !a, a)
         fi; w = 0; b = 0
    :: r == DONE && !quar[c] && t == UNPUBLISH && !has(PUB(s), n) && PUB(s) != 0 -> ans = OK  /* not in; others are */
    :: r == DONE && !quar[c] && t == UNPUBLISH && PUB(s) == 0 -> k = L_UNPUBLISH; v = s       /* proves that nothing is exported */
    :: r == DONE && !quar[c] && t == UNPUBLISH && PUB(s) == bit_(n) -> k = L_UNPUBLISH;
         w = DIRT(s) | (EVIDENCE && SUSPECT(n) -> bit_(n) : 0); v = NEXT(0, w, GONE(s) | bit_(n)); w = 0
    :: r == DONE && !quar[c] && t == UNPUBLISH && has(PUB(s), n) && PUB(s) != bit_(n) -> k = L_PUBLISH;
         w = (DIRTY -> DIRT(s) | bit_(n) : 0); v = NEXT(without(PUB(s), n), w, GONE(s) | bit_(n)); w = 0
    fi } }

/* What the answer to that line comes to: the target was in `want`. */
inline conclude() {
  atomic { if
    :: r == DONE && s == want && AS_TAGGED -> ans = OK; rec[c] = s
    :: else -> ans = MAYBE
    fi } }

inline answer() {
  atomic {
    if
    :: ans == OK || ans == FINAL -> open[c] = 0
    :: else
    fi;
    if
    :: waits[c] -> waits[c] = false; reply = ans; acknowledge()
    :: !waits[c] -> if :: ans == MAYBE && t != 0 -> tries++; HOLDS(tries <= K, "BROKEN SETTLE: what is open never ends\n") :: else fi
    fi;
    ans = 0; t = 0; n = 0; a = 0; r = 0; s = 0; x = 0; q = 0; want = 0 } }

/* What the orchestrator and the nodes learn by the answer. */
inline acknowledge() {
  if
  :: ans == OK && t == PUBLISH ->
       HOLDS(undone || att[n] != 2 || ctx[n] == EP(s), "BROKEN SAME: publish again gives another epoch\n");
       HOLDS(!PERMIT(s) || att[n] == 2 || !(rawData || (fs && SHOWN)), "BROKEN PERMIT: a permit for a volume with data in it\n");
       att[n] = 2; ctx[n] = EP(s); permit[n] = PERMIT(s); raw[n] = a;
       fenced = (PUB(s) == bit_(n) -> (7 & ~PUB(s)) : (fenced & ~PUB(s)));
       printf("controller %d: node %d is in, epoch %d, permit %d\n", c, n, ctx[n], permit[n])
  :: ans == OK && t == UNPUBLISH ->
       HOLDS(!(ex && has(PUB(tag), n) && nqn == EP(tag) && boot == seenBoot), "BROKEN PROVED: the node is still let in\n");
       att[n] = 0; ctx[n] = 0; printf("controller %d: node %d is out\n", c, n)
  :: ans == FINAL && t == PUBLISH ->
       HOLDS(undone || att[n] != 2, "BROKEN CUT: a node that is in is refused\n"); att[n] = 0
  :: else
  fi }

proctype Controller(byte c) {
  byte token, seenBoot, t, n, r, q, k, w, b, ans; int s, v, want; bool a, x, whole, suspect, cutAt;
  suspect = true;
endlife:
  {
endturn: do
    /* leadership.lead, as one step (token.pml), and what it waits for */
    :: atomic { !leads[c] && lease == c ->
         if
         :: markJ != jid[c] && mark > seenTok[c] -> rec[c] = 0; open[c] = 0; quar[c] = 0; printf("controller %d: sets its journal aside\n", c)
         :: else
         fi;
         freshTok++; token = freshTok; mark = token; markJ = jid[c]; seenTok[c] = token; seenBoot = boot;
         leads[c] = true; whole = false; printf("controller %d: takes token %d\n", c, token) };
       !WAIT || !UNDERWAY;
       KEPT || boot != seenBoot || mark != token

    /* keeper: inventory and repair (law 13) */
    :: leads[c] && !whole -> seenBoot = boot; observe(); judge();
       if
       :: k != 0 -> want = v; send(); atomic { tries = tries + (r != DONE || s != want -> 1 : 0) };
            HOLDS(tries <= K, "BROKEN SETTLE: a repair never succeeds\n")
       :: else
       fi;
       answer()
    :: leads[c] && whole && seenBoot != boot -> whole = false

    :: atomic { leads[c] && whole && ask[c] != 0 -> t = ask[c]; n = askN[c]; a = askRaw[c]; ask[c] = 0; askN[c] = 0; askRaw[c] = 0; waits[c] = true };
         goto call
    :: atomic { leads[c] && whole && ask[c] == 0 && open[c] != 0 -> t = open[c]; n = node[c]; a = oraw[c] }; goto call

    :: atomic { !leads[c] && lease != c && ask[c] != 0 -> ask[c] = 0; askN[c] = 0; askRaw[c] = 0; reply = MAYBE }
    :: atomic { leads[c] && lease != c -> leads[c] = false; printf("controller %d: stands by\n", c) }
    od;

call:
    if
    :: !LOOK && !suspect -> atomic { r = DONE; s = rec[c]; x = (PUB(s) != 0); q = EP(s) }      /* Backend.entry: as last seen */
    :: else -> observe();
         if :: r == DONE && unsettled[c] && !has(PUB(s), n) -> waitSettled(); observe() :: else fi   /* no "off", no "empty" */
    fi;
    /* the intent: a live request is a new wish; an open one is taken up only where it was left (law 5) */
    atomic { if
      :: r == DONE && waits[c] -> open[c] = t; node[c] = n; oraw[c] = a; ogen[c] = GEN(s)
      :: r == DONE && !waits[c] && GENERATION && GEN(s) != ogen[c] && GEN(s) != ogen[c] + 1 -> open[c] = 0; ans = HELP; t = 0; whole = false;
           printf("controller %d: an intent that is not from here is closed\n", c)
      :: else
      fi };
    if :: ans == 0 -> decide() :: else fi;
    if
    :: ans == 0 && k == L_PUBLISH && PUB(s) == 0 && PERSIST && without(GONE(s) | DIRT(s), n) != 0 && (CUT_KNOWN || cutAt) ->
         (KEPT || boot != seenBoot); cutAt = false                                           /* _wait_persistent */
    :: else
    fi;
    if :: ans == 0 -> want = v; send(); conclude() :: else fi;
    if
    :: ACK_BLOCK && ans == OK && t == PUBLISH && RAW(s) -> (KEPT || boot != seenBoot); if :: boot != seenBoot -> ans = MAYBE :: else fi
    :: else
    fi;
    answer(); goto endturn
  } unless { atomic { dies[c] -> dies[c] = false;
      abandonLine(); unsettled[c] = false; if :: sender == c -> sender = NOBODY :: else fi;
      if :: waits[c] || ask[c] != 0 -> waits[c] = false; ask[c] = 0; askN[c] = 0; askRaw[c] = 0; reply = MAYBE :: else fi;
      if :: wipes[c] -> wipes[c] = false; rec[c] = 0; open[c] = 0; quar[c] = 0; freshJ++; jid[c] = freshJ; seenTok[c] = 0 :: else fi;
#if JOLD
      if :: reverts -> reverts = false; rec[0] = oRec; open[0] = oOpen; node[0] = oNode; ogen[0] = oGen; oraw[0] = oRaw;
              seenTok[0] = oTok; jboot[0] = oBoot; quar[0] = false :: else fi;
#endif
      printf("controller %d: dies and starts again; open %d of node %d\n", c, open[c], node[c]);
      leads[c] = false; token = 0; seenBoot = 0; t = 0; n = 0; r = 0; q = 0; k = 0; w = 0; b = 0; ans = 0; s = 0; v = 0; want = 0;
      a = 0; x = 0; whole = 0; suspect = 1; cutAt = 1; goto endlife } }
}

/* ================================================================== the orchestrator */

inline call_(what) {
  do
  :: atomic { (leads[0] || lease == 0) -> k = 0; break }
#if NC > 1
  :: atomic { (leads[1] || lease == 1) -> k = 1; break }
#endif
  od;
  atomic { tries++; HOLDS(tries <= K, "BROKEN SETTLE: maybe, for ever\n"); reply = 0; ask[k] = what; askN[k] = n; askRaw[k] = wantRaw };
  if
  :: atomic { reply != 0 -> if :: reply != MAYBE -> tries = 0 :: else fi }
#if NC > 1
  :: atomic { reply == 0 && lease != k -> ask[k] = 0; askN[k] = 0; askRaw[k] = 0; waits[k] = false; reply = MAYBE; tries = (tries > 0 -> tries - 1 : 0) }
#endif
  fi;
  if :: reply == HELP -> helped = true; HOLDS(PERSON_OK, "BROKEN SETTLE: a person must look\n") :: else fi;
  atomic { reply = 0; k = 0 } }

#if N == 3
#define FREEFOR(n_) (PAIR || ((n_ == 0 || att[0] == 0) && (n_ == 1 || att[1] == 0) && (n_ == 2 || att[2] == 0)))
#else
#define FREEFOR(n_) (PAIR || att[1 - n_] == 0)
#endif
active proctype Orchestrator() {
  byte k, n, left = STEPS; bool wantRaw;
  do
  :: atomic { left > 0 && !helped -> left--; if :: n = 0 :: n = 1
#if N == 3
       :: n = 2
#endif
       fi };
     if
     :: atomic { !has(zombie, n) && att[n] < 3 && FREEFOR(n) ->
          if :: att[n] == 0 -> att[n] = 1; if :: wantRaw = PAIR :: BLOCK -> wantRaw = true fi :: else -> wantRaw = raw[n] fi };
        call_(PUBLISH)
     :: atomic { att[n] == 3 && (hold[n] == 0 || (FORCE && has(zombie, n))) -> wantRaw = false }; call_(UNPUBLISH)
     :: atomic { att[n] == 1 || att[n] == 2 -> att[n] = 3; printf("orchestrator: node %d is to leave\n", n) }
     :: skip
     fi
  :: atomic { left == 0 || helped -> n = 0; wantRaw = 0; finished = true; tries = 0; break }
  od }

/* A node: stages what it was told, formats if it may, unstages, gets out of control, reconnects. */
inline lives(n_) {
  if
  :: att[n_] == 2 && !has(zombie, n_) && hold[n_] != ctx[n_] -> hold[n_] = ctx[n_]; live[n_] = false;
       if :: raw[n_] -> rawData = BLOCK :: else -> fs = fs || permit[n_] fi
  :: (att[n_] == 3 || att[n_] == 0) && !has(zombie, n_) && hold[n_] != 0 -> hold[n_] = 0; live[n_] = false
  :: zombies > 0 && !has(zombie, n_) && !finished -> zombies--; zombie = zombie | bit_(n_); printf("node %d: out of control\n", n_)
#if !CUTS
  :: hold[n_] != 0 && !live[n_] && ex && nqn == hold[n_] -> live[n_] = true
#endif
  fi }
active proctype Nodes() {
end: do
  :: atomic { lives(0) }
  :: atomic { lives(1) }
#if N == 3
  :: atomic { lives(2) }
#endif
  /* the monitor */
  :: d_step { EACH(FENCEBREACH, ||) -> printf("BROKEN FENCE: a node that was let out writes\n"); assert(false) }
  :: d_step { EACH(WRITES, +) > 1 + PAIR -> printf("BROKEN WRITERS: too many\n"); assert(false) }
  od }

active proctype World() {
end: do
  :: atomic { moves > 0 && !finished -> fault(moves); lease = 1 - lease; printf("cluster: the Lease goes to controller %d\n", lease) }
  :: atomic { crash > 0 && !dies[lease] && !finished -> fault(crash); dies[lease] = true;
       if :: jlost > 0 -> jlost--; wipes[lease] = true :: jold > 0 && copied && lease == 0 -> jold--; reverts = true :: skip fi }
#if JOLD
  :: atomic { jold > 0 && !copied -> copied = true; oRec = rec[0]; oOpen = open[0]; oNode = node[0]; oGen = ogen[0]; oRaw = oraw[0];
       oTok = seenTok[0]; oBoot = jboot[0]; printf("journal 0 is copied\n") }
#endif
  od }

/* Nothing moves any more. */
active proctype Monitor() {
  timeout -> atomic {
    HOLDS(finished, "BROKEN SETTLE: a call is never answered\n");
    if
    :: helped || undone -> skip
    :: else -> HOLDS(!EACH(ROBBED, ||), "BROKEN CUT: a node that is in cannot reach the volume\n");
         HOLDS((PUB(tag) != 0 -> (ex && nqn == EP(tag)) : !ex), "BROKEN CLOSED: exported, and not as the tag says\n")
    fi } }

init { atomic {
  rec[0] = tag; jboot[0] = 1; jid[0] = 1; run Controller(0);
#if NC > 1
  jid[1] = 2; run Controller(1);
#endif
} }
