/* ONE VOLUME: create, delete, undo, recovery, inventory, repairs (laws 2 to 5, 7, 9 and 13).
 *
 * One CSI name, so one slot. A create picks a fresh operation id; the file is named after it, the item's tag tells it.
 * Abstracts rdscsi/controller/{creation,deletion,erasing,inventory,judgement,repairs,settling}.py, routeros/lines.py and
 * routeros/device.py. The token itself is token.pml's: here a take-over is one step. Who may reach the volume is
 * publication.pml's: here a publication is one export to nobody in particular, there to see what deletes and returns do
 * with it (PUBS).
 *
 * Properties
 *   KEEP    nothing removes the item or file of an acknowledged volume whose deletion was not asked for
 *   ANEW    a volume that held data is never silently made anew
 *   ONCE    a create is acknowledged only for a volume that is there, ready, and not being deleted
 *   GONE    when all is quiet, nothing is left of what was deleted or refused
 *   THERE   when all is quiet, what was acknowledged is there
 *   SETTLE  every call gets an answer other than "maybe" in the end
 *   PERSON  nobody has to be called to help
 */
#include "volume.h"

/* item's tag, ordered as its generations are in one life; the slot is empty at NONE */
#define NONE 0
#define CREATING 1
#define READY 2
#define PUBLISHED 3
#define LEFT 4
#define DELETING 5
/* states of a record, kinds of open operations, requests */
#define CREATE 1
#define KEPT 2          /* record: ready */
#define DELETE 3
#define PUBLISH 4
#define UNPUBLISH 5
/* kinds of lines (routeros/lines.py) */
#define L_CREATE 1
#define L_REMOVE 2
#define L_ADD 3         /* add_again */
#define L_CUT 4         /* unpublish, and restore to something that is not exported */
#define L_EXPORT 5      /* publish, and restore to something that is */
/* how a line, or a call, ended */
#define DONE 1
#define REFUSED 2       /* the appliance said no to a statement */
#define FENCED 3
#define REBOOT 4
#define LOST 5
#define OK 1
#define FINAL 2
#define MAYBE 3
#define HELP 4          /* "maybe", and a person must look: Quarantined; because of a */
#define STRAY 1         /* ... file without an item, that no journal knows */
#define ORPHAN 2        /* ... half-made volume that no journal knows the create of */
#define TAKEN 4         /* ... slot that holds something else, or nothing, or an item without a file */

#define NL (NC+1)
#define LATE NC
#define RUN 1
#define OVER 2
#define NOBODY 9
#define bit_(o) (1 << (o))
#define has(set, o) (((set) >> (o)) & 1)

/* ---- the appliance, now and as flushed */
byte st, op; bool ex;                   /* the item: tag, operation id in it, exported */
byte files;                             /* backing objects, by operation id */
byte mark = 1, markJ = 1;               /* token (also its counter) and journal in the marker */
byte keptSt, keptOp, keptMark = 1, keptJ = 1, keptFiles; bool keptEx;
byte boot = 1;
/* ---- lines: [c] the one that controller c awaits, [LATE] one that outlived its session */
byte kind[NL], state[NL], tok[NL], lboot[NL], lop[NL], lold[NL], lnew[NL], pc[NL]; bool checked[NL], expired[NL];
byte sender = NOBODY;                   /* which process still knows of the late line */
byte how[NC], shSt[NC], shOp[NC]; bool shEx[NC], shLeaf[NC];     /* the answer to controller c's line */
/* ---- journals */
byte rec[NC], rop[NC], rtag[NC], open[NC], tomb[NC], jid[NC], seenTok[NC];
bool mine[NC], pubd[NC];                /* the create's intent is in this journal; ever published */
byte oRec, oOp, oTag, oOpen, oTomb, oTok; bool oMine, oPubd, copied;             /* yesterday's copy of journal 0 */
/* ---- leadership, processes */
byte lease; bool leads[NC], dies[NC], wipes[NC], reverts;
byte freshTok = 1, freshOp, freshJ = NC;
/* ---- the orchestrator */
byte ask[NC], reply, told, why; bool waits[NC];     /* `told`: the volume's operation id; `why`: what a person must look at */
byte held;                              /* operation id of the volume it was told of and wants; 0 none */
byte data;                              /* operation id of the file that a workload has written to */
bool lost, finished, helped;            /* the appliance lost that file; nothing more is wanted; a person was called */
byte tries;
byte loss = LOSS, crash = CRASH, jlost = JLOST, jold = JOLD, moves = MOVES, power = POWER, refuse = REFUSE,
     abandon = ABANDON, again = AGAIN;

#define HOLDS(condition, text) if :: (condition) -> skip :: else -> printf(text); assert(false) fi
#define fault(budget) budget--; tries = 0
#define ITEM(o) (st != NONE && op == (o))

/* ================================================================== lines on the console */

inline wipe(i) { kind[i] = 0; tok[i] = 0; lboot[i] = 0; lop[i] = 0; lold[i] = 0; lnew[i] = 0; pc[i] = 0;
                 checked[i] = false; expired[i] = false }
inline over(i, result) {                /* the line prints what is there, and ends */
  if
  :: i == LATE -> state[i] = 0; sender = NOBODY
  :: else -> state[i] = OVER; how[i] = result;
       if :: result == DONE -> shSt[i] = st; shOp[i] = op; shEx[i] = ex; shLeaf[i] = has(files, lop[i]) :: else fi
  fi; wipe(i) }

/* What each statement looks for directly before it acts (lines._one); pc 0 is the line's opening. */
#define F_LEAF(i) (has(files, lop[i]) && !ITEM(lop[i]))                     /* _drop_leftover */
#define NEEDED(i) ( \
  (kind[i] == L_CREATE && ((pc[i] == 1 && st == NONE && F_LEAF(i)) || (pc[i] == 2 && st == NONE) || \
                           (pc[i] == 3 && lold[i]) || \
                           (pc[i] == 4 && ITEM(lop[i]) && st == CREATING && !ex && has(files, lop[i])))) || \
  (kind[i] == L_REMOVE && ((pc[i] == 1 && ITEM(lop[i]) && lold[i] != DELETING && TAGGED(i) && !ex) || \
                           (pc[i] == 2 && lold[i] && ITEM(lop[i]) && st == DELETING && !ex) || (pc[i] == 3 && F_LEAF(i)))) || \
  (kind[i] == L_ADD && pc[i] == 1 && st == NONE && has(files, lop[i])) || \
  (kind[i] == L_CUT && ((pc[i] == 1 && ITEM(lop[i]) && (st == lold[i] || st == lnew[i]) && ex) || \
                        (pc[i] == 2 && ITEM(lop[i]) && lold[i] != lnew[i] && TAGGED(i) && !ex))) || \
  (kind[i] == L_EXPORT && ((pc[i] == 1 && ITEM(lop[i]) && lold[i] != lnew[i] && TAGGED(i)) || \
                           (pc[i] == 2 && ITEM(lop[i]) && st == lnew[i] && !ex))) )
#if TAG
#define TAGGED(i) (st == lold[i])       /* law 4: the object's expected generation; the whole tag is compared */
#else
#define TAGGED(i) (st != NONE)
#endif
#define LAST(i) (kind[i] == L_CREATE -> 4 : (kind[i] == L_REMOVE -> 3 : (kind[i] == L_ADD -> 1 : 2)))

inline dropItem() {
  printf("appliance: the item of create %d is removed\n", op);
  HOLDS(held == 0 || op != held, "BROKEN KEEP: the item of an acknowledged volume is removed\n");
  st = NONE; op = 0; ex = false }
inline dropFile(o) {
  printf("appliance: the file of create %d is removed\n", o);
  HOLDS(held == 0 || o != held, "BROKEN KEEP: the file of an acknowledged volume is removed\n");
  if :: data == o -> data = 0 :: else fi;
  files = files & ~bit_(o) }

inline act(i) {                         /* the statement, on the item that the look has found */
  if
  :: kind[i] == L_CREATE && pc[i] == 1 -> dropFile(lop[i])
  :: kind[i] == L_CREATE && pc[i] == 2 -> if :: has(files, lop[i]) -> pc[i] = 9 :: else -> files = files | bit_(lop[i]); lold[i] = 1;
       printf("appliance: the file of create %d is made\n", lop[i]) fi
  :: kind[i] == L_CREATE && pc[i] == 3 -> if :: st != NONE -> pc[i] = 9 :: else -> st = CREATING; op = lop[i]; ex = false;
       printf("appliance: item of create %d added, creating\n", op) fi
  :: kind[i] == L_CREATE && pc[i] == 4 -> if :: ITEM(lop[i]) -> st = READY;
       printf("appliance: create %d is ready\n", op) :: else fi
  :: kind[i] == L_REMOVE && pc[i] == 1 -> if :: ITEM(lop[i]) -> st = DELETING;
       printf("appliance: item of create %d tagged deleting\n", op) :: else fi
  :: kind[i] == L_REMOVE && pc[i] == 2 -> if :: ITEM(lop[i]) -> dropItem() :: else fi
  :: kind[i] == L_REMOVE && pc[i] == 3 -> if :: has(files, lop[i]) -> dropFile(lop[i]) :: else fi
  :: kind[i] == L_ADD -> if :: st != NONE -> pc[i] = 9 :: else -> st = lnew[i]; op = lop[i]; ex = false;
       printf("appliance: item of create %d added again\n", op) fi
  :: kind[i] == L_CUT && pc[i] == 1 -> if :: ITEM(lop[i]) -> ex = false; printf("appliance: export off\n") :: else fi
  :: kind[i] == L_CUT && pc[i] == 2 -> if :: ITEM(lop[i]) -> st = lnew[i]; printf("appliance: tag %d\n", st) :: else fi
  :: kind[i] == L_EXPORT && pc[i] == 1 -> if :: ITEM(lop[i]) -> st = lnew[i]; printf("appliance: tag %d\n", st) :: else fi
  :: kind[i] == L_EXPORT && pc[i] == 2 -> if :: ITEM(lop[i]) && has(files, op) -> ex = true; printf("appliance: export on\n") :: else fi
  fi;
  checked[i] = false;
  if :: pc[i] == 9 -> over(i, REFUSED) :: else -> pc[i] = pc[i] + 1 fi }

/* Law 4: the token, and the line's own window of uptime, directly before each mutating statement (lines.AGAIN). */
#define MAY(i) ((!TOKEN || tok[i] == mark) && (!WINDOW || lboot[i] == boot) && !(EXPIRY && expired[i]))
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
#define CONFIG_KEPT (power == 0 || (keptSt == st && keptOp == op && keptEx == ex && keptMark == mark && keptJ == markJ))
#define FILES_KEPT (power == 0 || keptFiles == files)
#else
#define CONFIG_KEPT true
#define FILES_KEPT true
#endif

active proctype Appliance() {
end: do
  :: d_step { state[0] == RUN -> step(0) }
#if NC > 1
  :: d_step { state[1] == RUN -> step(1) }
#endif
  :: d_step { state[LATE] == RUN -> step(LATE) }
#if REFUSE
  :: d_step { refuse > 0 && state[0] == RUN && checked[0] && kind[0] == L_CREATE ->      /* no space, or any other no */
       fault(refuse); printf("appliance: refuses a statement of create %d\n", lop[0]); over(0, REFUSED) }
#endif
#if POWER
  :: d_step { !CONFIG_KEPT -> keptSt = st; keptOp = op; keptEx = ex; keptMark = mark; keptJ = markJ;
       printf("appliance: flushes its configuration\n") }
  :: d_step { !FILES_KEPT -> keptFiles = files; printf("appliance: flushes its files\n") }
  :: d_step { power > 0 -> fault(power); boot++;
       st = keptSt; op = keptOp; ex = keptEx; mark = keptMark; markJ = keptJ;
#if FILES_BACK
       if :: data != 0 && !has(keptFiles, data) -> lost = true; data = 0 :: else fi;
       files = keptFiles;
#endif
       printf("appliance: power loss; item: tag %d of create %d, exported %d; files %d; token %d\n", st, op, ex, files, mark);
       if :: power == 0 -> keptSt = 0; keptOp = 0; keptEx = 0; keptMark = 0; keptJ = 0; keptFiles = 0 :: else fi;
       if :: state[0] == RUN -> over(0, LOST) :: else fi;
#if NC > 1
       if :: state[1] == RUN -> over(1, LOST) :: else fi;
#endif
       wipe(LATE); state[LATE] = 0; sender = NOBODY }
#endif
  od }

/* ================================================================== a controller */

/* Device.wait_settled: until the window of a line whose reply was lost has closed, and its last statement has ended. */
inline waitSettled() {
  if
  :: WAIT && sender == c -> atomic { expired[LATE] = true; (!EXPIRY || !checked[LATE]) };
       atomic { if :: EXPIRY && state[LATE] == RUN && expired[LATE] -> wipe(LATE); state[LATE] = 0; sender = NOBODY :: else fi }
  :: else
  fi }

inline abandonLine() {                  /* the line outlives its session */
  if
  :: state[c] == RUN && state[LATE] == 0 ->
       state[LATE] = RUN; kind[LATE] = kind[c]; tok[LATE] = tok[c]; lboot[LATE] = lboot[c]; lop[LATE] = lop[c];
       lold[LATE] = lold[c]; lnew[LATE] = lnew[c]; pc[LATE] = pc[c]; checked[LATE] = checked[c]; sender = c
  :: else
  fi;
  wipe(c); state[c] = 0; how[c] = 0; shSt[c] = 0; shOp[c] = 0; shEx[c] = 0; shLeaf[c] = 0 }

/* Device._mutate. Afterwards r tells how it ended; at DONE, s, o, x and leaf what the line's end showed. */
inline send(k, o_, old_, new_) {
  waitSettled();
  atomic { kind[c] = k; tok[c] = token; lboot[c] = seenBoot; lop[c] = o_; lnew[c] = new_; lold[c] = old_;
           state[c] = RUN };
  if
  :: atomic { state[c] == OVER -> r = how[c]; state[c] = 0; how[c] = 0;
       if :: r == DONE -> s = shSt[c]; o = shOp[c]; x = shEx[c]; leaf = shLeaf[c] :: else fi;
       shSt[c] = 0; shOp[c] = 0; shEx[c] = 0; shLeaf[c] = 0 }
  :: atomic { loss > 0 && state[c] == RUN && state[LATE] == 0 -> fault(loss); r = LOST;
       printf("controller %d: the reply of its line is lost\n", c); abandonLine() }
  fi;
  aftermath() }
inline aftermath() {
  atomic {
    if
    :: r == FENCED -> leads[c] = false; printf("controller %d: is fenced\n", c)
    :: r == REBOOT -> whole = false
    :: else
    fi } }

/* Device.observe, Device.inventory: under guard, so that what they show counts (law 3). */
inline observe() {
  d_step {
    if
    :: seenBoot != boot -> r = REBOOT
    :: seenBoot == boot && mark != token -> r = FENCED
    :: else -> r = DONE; s = st; o = op; x = ex; f = files
    fi };
  aftermath() }
inline lookAt() {                       /* Backend.look_at: an absence counts only when no line of the past can act */
  observe();
  if
  :: r == DONE && sender == c && (s == NONE || BELIEVE) -> waitSettled(); observe()
  :: else
  fi }

/* erasing.erase: remove item and file of create `e`, and prove them gone. r: DONE when proven, LOST for "maybe". */
inline erase(e) {
  n = 0;
  do
  :: r == DONE && n < 3 ->
       if :: CUT_FIRST && s != NONE && o == e && x -> send(L_CUT, e, s, s) :: else fi;
       if :: r == DONE -> w = (s != NONE && o == e -> s : 0); send(L_REMOVE, e, w, DELETING) :: else fi;
       if
       :: r == DONE && !(s != NONE && o == e) -> if :: leaf -> r = LOST :: else fi; break
       :: r == DONE && s != NONE && o == e && x && !CUT_FIRST -> r = LOST; break
       :: else -> n++
       fi
  :: r == DONE && n >= 3 -> r = LOST; break
  :: r != DONE -> break
  od;
  n = 0 }

inline forget() { rec[c] = 0; rop[c] = 0; rtag[c] = 0; mine[c] = 0; pubd[c] = 0; open[c] = 0 }
inline bury(e) { if :: TOMB -> tomb[c] = tomb[c] | bit_(e) :: else fi; forget() }
inline follow() {                       /* Verdict.LEARN: the record follows the tag */
  rec[c] = (s == CREATING -> CREATE : (s == DELETING -> DELETE : KEPT));
  if :: rop[c] != o -> mine[c] = false; pubd[c] = false :: else fi;
  rop[c] = o; rtag[c] = s; pubd[c] = pubd[c] || (s == PUBLISHED || s == LEFT) }

/* creation.undo: erase what a create has made, close it as refused. Law 5: with this journal's own record of it only,
 * and (UNDO_READY) never what is ready: that is finished. */
#define MAY_UNDO ((!OWN || mine[c]) && (!UNDO_READY || !(s >= READY && s < DELETING && o == rop[c])))

/* An answer reaches whoever still waits for it. */
inline answer() {
  atomic {
    if :: waits[c] -> waits[c] = false; reply = ans; told = (t == CREATE && ans == OK -> rop[c] : 0)
       :: !waits[c] && ans == MAYBE && t == 0 -> tries++; HOLDS(tries <= K, "BROKEN SETTLE: an open operation never ends\n")
       :: else fi;
    ans = 0; t = 0; r = 0; s = 0; o = 0; x = 0; leaf = 0; f = 0; e = 0; n = 0; w = 0 } }

inline undo() {
  if
  :: !MAY_UNDO && s >= READY && s < DELETING && o == rop[c] -> atomic { rec[c] = KEPT; rtag[c] = s; open[c] = 0; ans = MAYBE;
       printf("controller %d: the create is done after all\n", c) }
  :: !MAY_UNDO && !(s >= READY && s < DELETING && o == rop[c]) -> ans = HELP; why = ORPHAN
  :: MAY_UNDO -> atomic { e = rop[c]; printf("controller %d: undoes create %d\n", c, e) }; erase(e);
       atomic { if :: r == DONE -> bury(e); ans = FINAL :: else -> ans = MAYBE fi }
  fi }

#define MADE (s == READY && o == rop[c] && !x)
inline create() {                       /* creation.create */
  if
  :: rec[c] == DELETE && CONFIRM_OPEN -> ans = MAYBE                     /* law 2: a delete is open */
  :: rec[c] == KEPT || (rec[c] == DELETE && !CONFIRM_OPEN) -> lookAt();     /* _confirm */
       if
       :: r == DONE && s >= READY && s < DELETING && o == rop[c] -> ans = OK
       :: r == DONE && !(s >= READY && s < DELETING && o == rop[c]) -> ans = MAYBE;
            if :: s == NONE || o != rop[c] -> ans = HELP; why = TAKEN :: else fi
       :: r != DONE -> ans = MAYBE
       fi
  :: rec[c] == 0 || rec[c] == CREATE ->
       atomic { if
         :: rec[c] == 0 -> freshOp++; rec[c] = CREATE; rop[c] = freshOp; rtag[c] = 0; mine[c] = true; pubd[c] = 0; open[c] = CREATE;
              printf("controller %d: intends create %d\n", c, rop[c]); n = 0
         :: else -> n = 1; open[c] = CREATE fi };
       if :: n == 1 -> lookAt() :: else fi;                              /* _realise: an attempt was there before */
       if
       :: r != DONE -> ans = MAYBE
       :: r == DONE && n == 1 && MADE -> made()
       :: r == DONE && n == 1 && s == DELETING && o == rop[c] && RESUME_UNDO -> undo()
       :: else -> send(L_CREATE, rop[c], 0, 0);
            if
            :: r == REFUSED -> observe(); if :: r == DONE -> undo() :: else -> ans = MAYBE fi
            :: r == DONE && s != NONE && o != rop[c] -> undo()            /* NotOurs */
            :: r == DONE && MADE -> made()
            :: else -> ans = MAYBE
            fi
       fi
  fi }
inline made() { atomic { rec[c] = KEPT; rtag[c] = READY; open[c] = 0; ans = OK } }

inline carryOutDelete() {               /* deletion.carry_out */
  atomic { e = rop[c] }; erase(e);
  if
  :: r == DONE && SLOT_GONE && s != NONE && o != 0 -> ans = HELP; why = TAKEN          /* law 7: the slot holds something of ours */
  :: r == DONE && !(SLOT_GONE && s != NONE && o != 0) -> persist(); atomic { bury(e); ans = OK }
  :: r != DONE -> ans = MAYBE
  fi }
inline persist() {                      /* ACK_KEPT: acknowledge only what a power loss cannot take back */
  if :: ACK_KEPT -> ((CONFIG_KEPT && FILES_KEPT) || boot != seenBoot) :: else fi }
inline delete() {                       /* deletion.delete */
  if
  :: rec[c] == 0 -> lookAt();
       if
       :: r == DONE && s == NONE && LEAF_GONE && f != 0 -> ans = HELP; why = STRAY       /* law 7: the file, too */
       :: r == DONE && s == NONE && !(LEAF_GONE && f != 0) -> ans = OK
       :: r == DONE && s != NONE -> ans = HELP; why = TAKEN
       :: r != DONE -> ans = MAYBE
       fi
  :: rec[c] != 0 -> observe();
       if
       :: r == DONE && s == PUBLISHED && o == rop[c] -> ans = MAYBE         /* _refuse_published: not asked for here */
       :: r == DONE && !(s == PUBLISHED && o == rop[c]) ->
            atomic { rec[c] = DELETE; open[c] = DELETE; printf("controller %d: intends to delete create %d\n", c, rop[c]) };
            carryOutDelete()
       :: r != DONE -> ans = MAYBE
       fi
  fi }

inline publish() {                      /* publications, without the question who */
  if
  :: rec[c] == KEPT && open[c] == 0 -> observe();
       if
       :: r == DONE && (s == NONE || o != rop[c]) -> ans = HELP; why = TAKEN
       :: r == DONE && s >= READY && s < DELETING && o == rop[c] && t == PUBLISH ->
            send(L_EXPORT, rop[c], s, PUBLISHED)
       :: r == DONE && s >= READY && s < DELETING && o == rop[c] && t == UNPUBLISH ->
            w = (s == PUBLISHED -> LEFT : s); send(L_CUT, rop[c], s, w)
       :: else -> skip
       fi;
       if
       :: ans != 0 -> skip
       :: ans == 0 && r == DONE && o == rop[c] && t == PUBLISH && s == PUBLISHED && x -> atomic { rtag[c] = s; pubd[c] = true; ans = OK }
       :: ans == 0 && r == DONE && o == rop[c] && t == UNPUBLISH && s != PUBLISHED && !x -> atomic { rtag[c] = s; ans = OK }
       :: else -> ans = MAYBE
       fi
  :: else -> if :: rec[c] == CREATE && open[c] == 0 -> ans = HELP; why = ORPHAN :: else -> ans = MAYBE fi  /* half made, nobody's create */
  fi }

/* judgement.judge on the inventory in s, o, x, f; the repair, if one is due, at once. Sets `whole` when all is settled. */
inline judge() {
  if
  :: r != DONE -> skip
  :: r == DONE && s != NONE && has(tomb[c], o) -> atomic { e = o; printf("controller %d: create %d is back and erased\n", c, e) };
       erase(e); failed(r != DONE)
  :: r == DONE && (s == NONE || !has(tomb[c], o)) && (f & tomb[c]) != 0 && !(s != NONE && has(tomb[c], o)) ->
       atomic { e = 1; do :: !has(f & tomb[c], e) -> e++ :: else -> break od }; erase(e); failed(r != DONE)
  :: r == DONE && (f & tomb[c]) == 0 && !(s != NONE && has(tomb[c], o)) ->
       if
       :: rec[c] == 0 -> atomic { if :: s != NONE && (has(f, o) || !NO_FILE) -> follow() :: else fi; whole = true }
       :: rec[c] != 0 && s == NONE && rec[c] != KEPT -> whole = true                       /* UNFINISHED */
       :: rec[c] == KEPT && s == NONE && has(f, rop[c]) -> send(L_ADD, rop[c], 0, rtag[c]); failed(r != DONE || s == NONE)
       :: rec[c] == KEPT && s == NONE && !has(f, rop[c]) && !pubd[c] -> send(L_CREATE, rop[c], 0, 0);   /* MAKE_AGAIN */
            atomic { if :: r == DONE && MADE -> rtag[c] = READY :: else fi }; failed(r != DONE || !MADE)
       :: rec[c] == KEPT && s == NONE && !has(f, rop[c]) && pubd[c] -> whole = true         /* quarantined: lost */
       :: rec[c] != 0 && s != NONE && o != rop[c] -> whole = true                          /* taken */
       :: rec[c] != 0 && s != NONE && o == rop[c] ->
            if
            :: s < rtag[c] && rec[c] == KEPT ->                                            /* RESTORE */
                 if :: rtag[c] == PUBLISHED -> send(L_EXPORT, rop[c], s, rtag[c]) :: else -> send(L_CUT, rop[c], s, rtag[c]) fi;
                 failed(r != DONE || s != rtag[c])
            :: !(s < rtag[c] && rec[c] == KEPT) && s > rtag[c] && open[c] == 0 -> atomic { follow() }
            :: !(s < rtag[c] && rec[c] == KEPT) && s == rtag[c] && rec[c] == KEPT && x != (s == PUBLISHED) && open[c] == 0 ->
                 if :: s == PUBLISHED -> send(L_EXPORT, rop[c], s, s) :: else -> send(L_CUT, rop[c], s, s) fi;
                 failed(r != DONE || x != (s == PUBLISHED))
            :: else -> whole = true
            fi
       fi
  fi;
  atomic { r = 0; s = 0; o = 0; x = 0; leaf = 0; f = 0; e = 0; n = 0; w = 0 } }
inline failed(condition) {
  atomic { if :: (condition) -> tries++; HOLDS(tries <= K, "BROKEN SETTLE: a repair never succeeds\n") :: else fi } }

proctype Controller(byte c) {
  byte token, seenBoot, t, r, s, o, n, e, f, w, ans; bool x, leaf, whole;
endlife:
  { endturn: do

    /* ---- leadership.lead, as one step; then what it waits for, before anything is sent */
    :: atomic { !leads[c] && lease == c ->
         if :: markJ != jid[c] && (mark > seenTok[c] || !ASIDE_NEWER) -> forget(); tomb[c] = 0; printf("controller %d: sets its journal aside\n", c)
            :: else fi;
         freshTok++; token = freshTok; mark = token; markJ = jid[c]; seenTok[c] = token; seenBoot = boot;
         leads[c] = true; whole = false; printf("controller %d: takes token %d\n", c, token) };
       if :: WAIT -> !(state[LATE] == RUN && checked[LATE] && tok[LATE] != token)
#if NC > 1
                     && !(state[1-c] == RUN && checked[1-c])
#endif
          :: else fi;
       CONFIG_KEPT || boot != seenBoot || mark != token

    /* ---- inventory.take, judgement.judge, repairs: before anything else may be done (law 13) */
    :: leads[c] && !whole -> seenBoot = boot; observe(); judge()
    :: leads[c] && whole && seenBoot != boot -> atomic { whole = false }       /* the refresh shows it, sooner or later */

    /* ---- calls */
    :: atomic { leads[c] && whole && ask[c] != 0 -> t = ask[c]; ask[c] = 0; waits[c] = true; r = DONE };
       if
       :: t == CREATE -> create()
       :: t == DELETE -> delete()
       :: t == PUBLISH || t == UNPUBLISH -> publish()
       fi;
       answer()
    :: atomic { !leads[c] && lease != c && ask[c] != 0 -> ask[c] = 0; reply = MAYBE }

    /* ---- settling.settle_all: what is left open */
    :: atomic { leads[c] && whole && ask[c] == 0 && open[c] == DELETE -> t = 0; r = DONE }; observe();
       if :: r == DONE -> carryOutDelete() :: else -> ans = MAYBE fi;
       answer()
#if ABANDON
    :: atomic { leads[c] && whole && ask[c] == 0 && open[c] == CREATE && abandon > 0 -> fault(abandon); t = 0; r = DONE;
         printf("controller %d: nobody asks for the create any more\n", c) };
       lookAt(); if :: r == DONE -> undo() :: else -> ans = MAYBE fi; answer()
#endif

    :: atomic { leads[c] && lease != c -> leads[c] = false; printf("controller %d: stands by\n", c) }
    od
  } unless { atomic { dies[c] -> dies[c] = false;
      abandonLine(); if :: sender == c -> sender = NOBODY :: else fi;
      if :: waits[c] || ask[c] != 0 -> waits[c] = false; ask[c] = 0; reply = MAYBE :: else fi;
      if
      :: wipes[c] -> wipes[c] = false; forget(); tomb[c] = 0; freshJ++; jid[c] = freshJ; seenTok[c] = 0
      :: else
      fi;
#if JOLD
      if
      :: reverts -> reverts = false; rec[0] = oRec; rop[0] = oOp; rtag[0] = oTag; open[0] = oOpen; tomb[0] = oTomb; mine[0] = oMine;
           pubd[0] = oPubd; seenTok[0] = oTok
      :: else
      fi;
#endif
      printf("controller %d: dies and starts again; record %d of create %d, open %d\n", c, rec[c], rop[c], open[c]);
      leads[c] = false; token = 0; seenBoot = 0; t = 0; r = 0; s = 0; o = 0; n = 0; e = 0; f = 0; w = 0; ans = 0; x = 0; leaf = 0; whole = 0;
      goto endlife } }
}

/* ================================================================== the orchestrator */

inline call(what) {
  do
  :: atomic { (leads[0] || lease == 0) -> k = 0; break }
#if NC > 1
  :: atomic { (leads[1] || lease == 1) -> k = 1; break }
#endif
  od;
  atomic { tries++; HOLDS(tries <= K, "BROKEN SETTLE: maybe, for ever\n"); reply = 0; ask[k] = what };
  if
  :: atomic { reply != 0 -> skip }
#if NC > 1
  :: atomic { reply == 0 && lease != k -> ask[k] = 0; waits[k] = false; reply = MAYBE }   /* turns to the other one */
#endif
  fi;
  if
  :: atomic { reply == HELP -> helped = true; printf("orchestrator: a person is called, reason %d\n", why);
       HOLDS((PERSON_OK & why) != 0, "BROKEN PERSON: somebody must look\n"); why = 0 }
  :: else
  fi }

active proctype Orchestrator() {
  byte k, round;
  do
  :: round < ROUNDS -> round++;
       do
       :: call(CREATE);
          atomic { if
          :: reply == OK -> tries = 0; held = told; told = 0;
               printf("orchestrator: create %d is acknowledged\n", held);
               HOLDS(POWER > 0 || (st >= READY && st < DELETING && op == held && has(files, op) && open[k] != DELETE), "BROKEN ONCE: acknowledged what is not there\n");
               break
          :: reply == FINAL -> tries = 0; goto next
          :: reply == HELP -> goto out
          :: reply == MAYBE -> skip
          fi }
       od;
#if PUBS
       do
       :: call(PUBLISH);
          atomic { if
          :: reply == OK -> tries = 0;
               HOLDS(!lost, "BROKEN ANEW: a volume whose data is lost is handed out empty\n");
               if :: data = held :: skip fi; break
          :: reply == HELP -> goto out
          :: else -> skip
          fi }
       od;
       do
       :: call(UNPUBLISH);
          atomic { if :: reply == OK -> tries = 0; break :: reply == HELP -> goto out :: else -> skip fi }
       od;
#endif
       if :: goto out                                       /* it is kept */
          :: atomic { held = 0; printf("orchestrator: wants it deleted\n") }
       fi;
       do
       :: call(DELETE);
          atomic { if :: reply == OK -> tries = 0; lost = false; printf("orchestrator: the delete is acknowledged\n"); goto next
                      :: reply == HELP -> goto out
                      :: else -> skip fi }
#if AGAIN
       :: atomic { again > 0 && reply == MAYBE -> again--; tries = 0 }; call(CREATE);      /* wants it after all */
          atomic { if :: reply == OK -> tries = 0; held = told; told = 0;
                           printf("orchestrator: create %d is acknowledged, in place of the delete\n", held); goto out
                      :: reply == HELP -> goto out
                      :: else -> skip fi }
#endif
       od;
next:  skip
  :: else -> break
  od;
out: atomic { finished = true; reply = 0; k = 0; round = 0; tries = 0 } }

active proctype World() {
end: do
  :: atomic { moves > 0 && !finished -> fault(moves); lease = 1 - lease; printf("cluster: the Lease goes to controller %d\n", lease) }
  :: atomic { crash > 0 && !dies[lease] -> fault(crash); dies[lease] = true;
       if :: jlost > 0 -> jlost--; wipes[lease] = true :: jold > 0 && copied && lease == 0 -> jold--; reverts = true :: skip fi }
#if JOLD
  :: atomic { jold > 0 && !copied -> copied = true; oRec = rec[0]; oOp = rop[0]; oTag = rtag[0]; oOpen = open[0]; oTomb = tomb[0];
       oMine = mine[0]; oPubd = pubd[0]; oTok = seenTok[0]; printf("journal 0 is copied\n") }
#endif
  od }

/* Nothing moves any more. */
active proctype Monitor() {
  timeout -> atomic {
    HOLDS(finished, "BROKEN SETTLE: a call is never answered\n");
    if
    :: helped -> skip
    :: !helped && held != 0 -> HOLDS(lost || (st >= READY && st < DELETING && op == held && has(files, held)), "BROKEN THERE: an acknowledged volume is not there\n")
    :: !helped && held == 0 -> HOLDS(st == NONE && (files == 0 || (PERSON_OK & STRAY) != 0), "BROKEN GONE: something is left\n")
    fi } }

init { atomic {
  jid[0] = 1; run Controller(0);
#if NC > 1
  jid[1] = 2; run Controller(1);
#endif
} }
