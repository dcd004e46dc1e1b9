/* A controller of publication.pml: publications, fencing, inventory, repairs, settling; routeros/device.py. */

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

#if LOOK
#define keep() skip
#else
#define keep() cat = s; catX = x; catQ = q                  /* Catalogue.saw */
#endif
/* Device._mutate with the line in k, from tag s to tag v. At DONE, s, x and q are what the line's end showed. */
inline send() {
  waitSettled();
  atomic { suspect = true; kind[c] = k; tok[c] = token; lboot[c] = seenBoot; lold[c] = s; lnew[c] = v; state[c] = RUN; k = 0; v = 0 };
  if
  :: atomic { state[c] == OVER -> r = how[c]; state[c] = 0; how[c] = 0;
       if :: r == DONE -> s = shTag[c]; x = shEx[c]; q = shNqn[c]; suspect = false; keep();
          if :: t == UNPUBLISH && !x && !KEPT -> cutAt[c] = true :: else fi :: else fi;
       shTag[c] = 0; shEx[c] = 0; shNqn[c] = 0; aftermath() }
  :: atomic { loss > 0 && state[c] == RUN && state[LATE] == 0 -> fault(loss); r = LOST;
       printf("controller %d: the reply of its line is lost\n", c); abandonLine() }
  fi }
inline observe() {                      /* Device.observe, Device.inventory */
  d_step {
    if
    :: seenBoot != boot -> r = REBOOT
    :: seenBoot == boot && mark != token -> r = FENCED
    :: else -> r = DONE; s = tag; x = ex; q = nqn; suspect = false; keep()
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

/* fencing.admit, fencing.dismiss. Sets ans, or the line in k and v. */
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
       HOLDS(!PERMIT(s) || EP(s) == told || !(rawData || (fs && SHOWN)), "BROKEN PERMIT: a permit for a volume with data in it\n");
       att[n] = 2; ctx[n] = EP(s); permit[n] = PERMIT(s); raw[n] = a;
       fenced = (EP(s) != told -> 7 : fenced) & ~PUB(s); told = EP(s);
       printf("controller %d: node %d is in, epoch %d, permit %d\n", c, n, ctx[n], permit[n])
  :: ans == OK && t == UNPUBLISH ->
       HOLDS(!(ex && has(PUB(tag), n) && nqn == EP(tag) && boot == seenBoot), "BROKEN PROVED: the node is still let in\n");
       att[n] = 0; ctx[n] = 0; printf("controller %d: node %d is out\n", c, n)
  :: ans == FINAL && t == PUBLISH ->
       HOLDS(undone || att[n] != 2, "BROKEN CUT: a node that is in is refused\n"); att[n] = 0
  :: else
  fi }

proctype Controller(byte c) {
  byte token, t, n, r, q, k, w, b, ans; int s, v, want; bool a, x, suspect;
#if !LOOK
  int cat; bool catX; byte catQ;
#endif
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
#if !LOOK
    :: !suspect -> atomic { r = DONE; s = cat; x = catX; q = catQ }                             /* Backend.entry: as last seen */
#endif
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
    :: ans == 0 && k == L_PUBLISH && PUB(s) == 0 && PERSIST && without(GONE(s) | DIRT(s), n) != 0 && (CUT_KNOWN || cutAt[c]) ->
         (KEPT || boot != seenBoot)                                           /* _wait_persistent */
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
      a = 0; x = 0; whole = 0; suspect = 1; cutAt[c] = !KEPT; goto endlife } }
}
