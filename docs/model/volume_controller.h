/* A controller of volume.pml: rdscsi/controller and routeros/device.py. Decisions first, the program at the end. */

/* Device.wait_settled: until the window of a line whose reply was lost has closed, and its last statement has ended. */
inline waitSettled() {
  if
  :: WAIT && unsettled[c] -> atomic { if :: sender == c -> expired[LATE] = true :: else fi };
       atomic { sender != c || !EXPIRY || !checked[LATE];
                if :: EXPIRY && sender == c -> wipe(LATE); state[LATE] = 0; sender = NOBODY :: else fi; unsettled[c] = false }
  :: else
  fi }

inline abandonLine() {                  /* the line outlives its session */
  if
  :: state[c] == RUN && state[LATE] == 0 ->
       state[LATE] = RUN; kind[LATE] = kind[c]; tok[LATE] = tok[c]; lboot[LATE] = lboot[c]; lop[LATE] = lop[c];
       lold[LATE] = lold[c]; lnew[LATE] = lnew[c]; pc[LATE] = pc[c]; checked[LATE] = checked[c]; sender = c; unsettled[c] = true
  :: else
  fi;
  wipe(c); state[c] = 0; how[c] = 0; shSt[c] = 0; shOp[c] = 0; shEx[c] = 0; shLeaf[c] = 0 }

inline aftermath() {                    /* Device._refusal, Device._sighted */
  if
  :: r == FENCED -> leads[c] = false; printf("controller %d: is fenced\n", c)
  :: r == REBOOT -> whole = false
  :: else
  fi }

/* Device._mutate. Afterwards r tells how it ended; at DONE, s, o, x and leaf what the line's end showed. */
inline send(create_) {
  waitSettled();
  atomic { kind[c] = k; tok[c] = token; lboot[c] = seenBoot; lop[c] = create_; lold[c] = w; lnew[c] = v; state[c] = RUN;
           k = 0; w = 0; v = 0 };
  if
  :: atomic { state[c] == OVER -> r = how[c]; state[c] = 0; how[c] = 0;
       if :: r == DONE -> s = shSt[c]; o = shOp[c]; x = shEx[c]; leaf = shLeaf[c];
          f = (leaf -> f | bit_(create_) : f & ~bit_(create_)) :: else fi;
       shSt[c] = 0; shOp[c] = 0; shEx[c] = 0; shLeaf[c] = 0; aftermath() }
  :: atomic { loss > 0 && state[c] == RUN && state[LATE] == 0 -> fault(loss); r = LOST;
       printf("controller %d: the reply of its line is lost\n", c); abandonLine() }
  fi }

/* Device.observe, Device.inventory: under guard, so that what they show counts (law 3). */
inline observe() {
  d_step {
    if
    :: seenBoot != boot -> r = REBOOT
    :: seenBoot == boot && mark != token -> r = FENCED
    :: else -> r = DONE; s = st; o = op; x = ex; f = files
    fi;
    aftermath() } }

#define HASFILE (!FILE_SEEN || has(f, rop[c]))
#define STOOD (FELL && jboot[c] == seenBoot)    /* the appliance has not rebooted since this journal's last inventory */
#define OURS (s != NONE && o == rop[c])
#define ALIVE (OURS && s >= READY && s < DELETING && (!FILE_SEEN || has(f, rop[c])))

inline forget() { rec[c] = 0; rop[c] = 0; rtag[c] = 0; mine[c] = 0; pubd[c] = 0; open[c] = 0; quar[c] = 0 }
inline bury(e_) { if :: TOMB -> tomb[c] = tomb[c] | bit_(e_) :: else fi; forget() }
inline follow() {                       /* Verdict.LEARN: the record follows the tag */
  rec[c] = (s == CREATING -> CREATE : (s == DELETING -> DELETE : KEPT));
  if :: rop[c] != o -> mine[c] = false; pubd[c] = false :: else fi;
  rop[c] = o; rtag[c] = s; pubd[c] = pubd[c] || (s == PUBLISHED || s == LEFT) }
inline person(reason) { ans = HELP; why = reason }

/* judgement.judge on the inventory in s, o, x, f. Sets whole (nothing to do), e (to be erased) or k (the line to send). */
inline judge() {
  d_step { if
    :: r != DONE -> skip
    :: r == DONE && s != NONE && has(tomb[c], o) -> e = o                                  /* ERASE */
    :: r == DONE && !(s != NONE && has(tomb[c], o)) && (f & tomb[c]) != 0 ->               /* _returned_files */
         e = 1; do :: !has(f & tomb[c], e) -> e++ :: else -> break od
    :: r == DONE && !(s != NONE && has(tomb[c], o)) && (f & tomb[c]) == 0 ->
         if
         :: rec[c] == 0 && s == DELETING && FINISH_DELETE -> e = o
         :: rec[c] == 0 && !(s == DELETING && FINISH_DELETE) ->                            /* LEARN, QUARANTINE, NOBODYS */
              if :: s != NONE && (has(f, o) || !NO_FILE) -> follow() :: else fi; whole = true
         :: rec[c] != 0 && s == NONE && rec[c] != KEPT -> whole = true                     /* UNFINISHED */
         :: rec[c] == KEPT && OURS && !has(f, rop[c]) && FILE_SEEN && !pubd[c] && !STOOD -> e = o  /* ... and made again after */
         :: rec[c] == KEPT && OURS && !has(f, rop[c]) && FILE_SEEN && (pubd[c] || STOOD) -> quar[c] = true; whole = true
         :: rec[c] == KEPT && (s == NONE || (OURS && s < rtag[c] && HASFILE)) && STOOD -> whole = true   /* no reboot took it */
         :: rec[c] == KEPT && s == NONE && !STOOD && has(f, rop[c]) -> k = L_ADD; v = rtag[c]        /* ADD_AGAIN */
         :: rec[c] == KEPT && s == NONE && !STOOD && !has(f, rop[c]) && !pubd[c] -> k = L_CREATE     /* MAKE_AGAIN */
         :: rec[c] == KEPT && s == NONE && !STOOD && !has(f, rop[c]) && pubd[c] -> quar[c] = true; whole = true   /* QUARANTINE: lost */
         :: rec[c] != 0 && s != NONE && o != rop[c] -> whole = true                        /* _taken */
         :: rec[c] != 0 && OURS && HASFILE && s < rtag[c] && rec[c] == KEPT && !STOOD ->                        /* RESTORE */
              k = (rtag[c] == PUBLISHED -> L_EXPORT : L_CUT); w = s; v = rtag[c]
         :: rec[c] != 0 && OURS && HASFILE && !(s < rtag[c] && rec[c] == KEPT) && open[c] == 0 && s > rtag[c] -> follow()
         :: rec[c] == KEPT && OURS && HASFILE && open[c] == 0 && s == rtag[c] && x != (s == PUBLISHED) ->
              k = (s == PUBLISHED -> L_EXPORT : L_CUT); w = s; v = s
         :: else -> whole = true
         fi
    fi;
    if :: k == L_CREATE -> rtag[c] = READY :: else fi;
    if :: whole -> jboot[c] = seenBoot :: else fi } }

/* creation.undo. Law 5: with this journal's own record of the create only. UNDO_READY: never what is ready. */
inline undo() {
  if
  :: UNDO_READY && ALIVE -> made(); ans = MAYBE; printf("controller %d: the create is done after all\n", c)
  :: !(UNDO_READY && ALIVE) && OWN && !mine[c] -> person(ORPHAN)
  :: else -> e = rop[c]; printf("controller %d: undoes create %d\n", c, e)
  fi }
inline made() { rec[c] = KEPT; rtag[c] = s; open[c] = 0; ans = OK }
#define GOOD (r == DONE && !(quar[c] && t != DELETE && t != GO_ON))
#define MADE (ALIVE && s == READY && !x)

/* What a call comes to, by the record and the look in r, s, o, x, f. Sets ans (the answer), e (to be erased) or k (the
 * line to send). */
inline decide() {
  atomic { if
    :: r != DONE -> ans = MAYBE
    :: r == DONE && quar[c] && t != DELETE && t != GO_ON -> person(TAKEN)

    /* creation.create */
    :: GOOD && t == CREATE && rec[c] == 0 ->
         freshOp++; rec[c] = CREATE; rop[c] = freshOp; mine[c] = true; open[c] = CREATE; k = L_CREATE;
         printf("controller %d: intends create %d\n", c, freshOp)
    :: GOOD && t == CREATE && rec[c] == CREATE -> open[c] = CREATE;                   /* an attempt was there before */
         if
         :: MADE -> made()
         :: !MADE && OURS && RESUME_UNDO && (s == DELETING || !HASFILE) -> undo()
         :: else -> k = L_CREATE
         fi
    :: GOOD && t == CREATE && rec[c] == DELETE && CONFIRM_OPEN -> ans = MAYBE;        /* law 2 */
         if :: open[c] == DELETE -> tries = 0 :: else fi                                   /* settling goes on with it meanwhile */
    :: GOOD && t == CREATE && (rec[c] == KEPT || (rec[c] == DELETE && !CONFIRM_OPEN)) ->       /* _confirm */
         if
         :: ALIVE -> ans = OK
         :: !ALIVE && OURS -> ans = MAYBE
         :: !OURS -> person(TAKEN)
         fi

    /* deletion.delete */
    :: GOOD && t == DELETE && rec[c] == 0 ->
         if
         :: s != NONE -> person(TAKEN)
         :: s == NONE && LEAF_GONE && f != 0 -> person(STRAY)                              /* law 7: the file, too */
         :: else -> ans = OK
         fi
    :: GOOD && t == DELETE && rec[c] == KEPT && OURS && s == PUBLISHED && !quar[c] -> ans = MAYBE /* _refuse_published */
    :: GOOD && t == DELETE && rec[c] != 0 && !(rec[c] == KEPT && OURS && s == PUBLISHED && !quar[c]) -> rec[c] = DELETE; open[c] = DELETE; e = rop[c];
         printf("controller %d: intends to delete create %d\n", c, e)
    :: GOOD && t == GO_ON && open[c] == DELETE -> e = rop[c]
    :: GOOD && t == GO_ON && open[c] == CREATE -> undo()                              /* Settling._abandon */

    /* publications, without the question who */
    :: GOOD && (t == PUBLISH || t == UNPUBLISH) && !(rec[c] == KEPT && open[c] == 0) ->
         if :: rec[c] == CREATE && open[c] == 0 -> person(ORPHAN) :: else -> ans = MAYBE fi
    :: GOOD && (t == PUBLISH || t == UNPUBLISH) && rec[c] == KEPT && open[c] == 0 ->
         if
         :: !OURS -> person(TAKEN)
         :: OURS && !ALIVE -> ans = MAYBE
         :: ALIVE && t == PUBLISH -> k = L_EXPORT; w = s; v = PUBLISHED
         :: ALIVE && t == UNPUBLISH -> k = L_CUT; w = s; v = (s == PUBLISHED -> LEFT : s)
         fi
    fi } }

/* What the answer to that line comes to. */
inline conclude() {
  atomic { if
    :: t == CREATE && r == REFUSED -> if :: OWN && !mine[c] -> person(ORPHAN)
                                         :: else -> e = rop[c]; printf("controller %d: undoes create %d\n", c, e) fi
    :: t == CREATE && r == DONE && s != NONE && !OURS ->                                   /* NotOurs; but a tag of ours is in it */
         if :: KIN -> person(TAKEN) :: else -> undo() fi
    :: t == CREATE && r == DONE && MADE -> made()
    :: t == PUBLISH && r == DONE && OURS && s == PUBLISHED && x -> rtag[c] = s; pubd[c] = true; ans = OK
    :: t == UNPUBLISH && r == DONE && ALIVE && s != PUBLISHED && !x -> rtag[c] = s; ans = OK
    :: else -> ans = MAYBE
    fi } }

/* What it comes to that create e was erased (r: DONE) or is not proven gone. */
inline erased() {
  atomic { if
    :: ans != 0 -> skip                                                                    /* ready after all */
    :: ans == 0 && t == 0 -> tried(r != DONE)                                              /* a repair */
    :: ans == 0 && t != 0 && r != DONE -> ans = MAYBE
    :: ans == 0 && t != 0 && r == DONE && open[c] == DELETE && SLOT_GONE && s != NONE -> person(TAKEN)  /* law 7: something of ours is left */
    :: ans == 0 && t != 0 && r == DONE && open[c] == DELETE && !(SLOT_GONE && s != NONE) -> bury(e); ans = OK
    :: ans == 0 && t != 0 && r == DONE && open[c] == CREATE -> bury(e); ans = FINAL
    fi;
    e = 0 } }

inline tried(failed) {
  if :: (failed) -> tries++; HOLDS(tries <= K, "BROKEN SETTLE: what is open never ends\n") :: else fi }

/* An answer reaches whoever still waits for it. */
inline answer() {
  atomic {
    if
    :: waits[c] -> waits[c] = false; reply = ans;
         if
         :: t == CREATE && ans == OK -> held = rop[c]; sound = has(files, held);
              printf("controller %d: acknowledges create %d\n", c, held);
              HOLDS(POWER > 0 || (ITEM(held) && st >= READY && st < DELETING && sound && open[c] != DELETE),
                    "BROKEN ONCE: acknowledges what is not there\n")
         :: else
         fi;
         if :: POWER && ans == OK -> due = true; undone = undone || boot != seenBoot :: else fi
    :: !waits[c] -> tried(t == GO_ON && ans == MAYBE)
    fi;
    ans = 0; t = 0; r = 0; s = 0; o = 0; x = 0; leaf = 0; f = 0 } }

inline persistent() {                   /* ACK_KEPT: wait until a power loss cannot take it back; if one came, "maybe" */
  if
  :: ACK_KEPT && ((e != 0 && t == DELETE) || ans == OK) -> (CONFIG_KEPT && FILES_KEPT) || boot != seenBoot;
       atomic { if :: boot != seenBoot -> r = LOST; if :: ans == OK -> ans = MAYBE :: else fi :: else fi }
  :: else
  fi }

proctype Controller(byte c) {
  byte token, t, r, s, o, f, ans;               /* t: the call; r: how a look or line ended; s, o, x, f, leaf: what it showed */
  byte k, w, v, e, n;                           /* the line to send: kind, old and new tag; the create to erase, attempts */
  bool x, leaf;
endlife:
  {
endturn: do

    /* leadership.lead, as one step; then what it waits for before anything is sent */
    :: atomic { !leads[c] && lease == c ->
         if
         :: markJ != jid[c] && (mark > seenTok[c] || !ASIDE_NEWER) -> forget(); tomb[c] = 0;
              printf("controller %d: sets its journal aside\n", c)
         :: else
         fi;
         freshTok++; token = freshTok; mark = token; markJ = jid[c]; seenTok[c] = token; seenBoot = boot;
         leads[c] = true; whole = false; printf("controller %d: takes token %d\n", c, token) };
       !WAIT || !UNDERWAY;
       CONFIG_KEPT || boot != seenBoot || mark != token

    /* keeper: inventory and repairs, before anything else may be done (law 13) */
    :: leads[c] && !whole -> seenBoot = boot; observe(); judge();
       if
       :: e != 0 -> goto erasing
       :: e == 0 && k != 0 -> send(rop[c]); atomic { tried(r != DONE || s != rtag[c]) }
       :: else
       fi;
       answer()
    :: leads[c] && whole && seenBoot != boot -> whole = false                              /* the refresh shows it */

    /* calls, and what is left open (settling) */
    :: atomic { leads[c] && whole && ask[c] != 0 -> t = ask[c]; ask[c] = 0; waits[c] = true }; goto call
    :: atomic { leads[c] && whole && ask[c] == 0 && open[c] == DELETE -> t = GO_ON }; goto call
    :: atomic { leads[c] && whole && ask[c] == 0 && open[c] == CREATE && abandon > 0 -> fault(abandon); t = GO_ON;
         printf("controller %d: nobody asks for the create any more\n", c) }; goto call

    :: atomic { !leads[c] && lease != c && ask[c] != 0 -> ask[c] = 0; reply = MAYBE }
    :: atomic { leads[c] && lease != c -> leads[c] = false; printf("controller %d: stands by\n", c) }
    od;

call:
    if
    :: t == CREATE && rec[c] == 0 -> r = DONE                                              /* nothing to look for */
    :: else -> observe();                                                                  /* Backend.look_at */
         if
         :: r == DONE && unsettled[c] && (s == NONE || BELIEVE) -> waitSettled(); observe()
         :: else
         fi
    fi;
    decide();
    if :: k != 0 -> send(rop[c]); conclude() :: else fi;
    if :: e != 0 -> goto erasing :: else persistent() fi;
    answer(); goto endturn;

erasing:                                /* erasing.erase: remove item and file of create e, and prove them gone */
    n = 3; r = LOST;
    do
    :: n > 0 -> n--; observe();
         if
         :: r != DONE -> break
         :: r == DONE && UNDO_READY && open[c] == CREATE && t != 0 && ALIVE -> atomic { made(); ans = MAYBE; r = LOST }; break
         :: else
         fi;
         atomic { w = (s != NONE && o == e -> s : 0); v = DELETING; k = L_REMOVE;
                  if :: CUT_FIRST && w != 0 && x -> k = L_CUT; v = w; n++ :: else fi };
         send(e);
         if
         :: r != DONE -> break
         :: r == DONE && s != NONE && o == e -> r = LOST                                   /* changed under the removal */
         :: r == DONE && !(s != NONE && o == e) -> if :: leaf -> r = LOST :: else fi; break
         fi
    :: n == 0 -> break
    od;
    n = 0;
    persistent(); erased(); answer(); goto endturn
  } unless { atomic { dies[c] -> dies[c] = false;
      abandonLine(); unsettled[c] = false; if :: sender == c -> sender = NOBODY :: else fi;
      if :: waits[c] || ask[c] != 0 -> waits[c] = false; ask[c] = 0; reply = MAYBE :: else fi;
      if
      :: wipes[c] -> wipes[c] = false; forget(); tomb[c] = 0; freshJ++; jid[c] = freshJ; seenTok[c] = 0
      :: else
      fi;
#if JOLD
      if
      :: reverts -> reverts = false; rec[0] = oRec; rop[0] = oOp; rtag[0] = oTag; open[0] = oOpen; tomb[0] = oTomb; mine[0] = oMine;
           pubd[0] = oPubd; seenTok[0] = oTok; jboot[0] = oBoot
      :: else
      fi;
#endif
      printf("controller %d: dies and starts again; record %d of create %d, open %d\n", c, rec[c], rop[c], open[c]);
      leads[c] = false; token = 0; seenBoot = 0; t = 0; r = 0; s = 0; o = 0; f = 0; ans = 0; k = 0; w = 0; v = 0; e = 0; n = 0;
      x = 0; leaf = 0; whole = 0;
      goto endlife } }
}
