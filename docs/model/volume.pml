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
#define GO_ON 6         /* no request: what is open is taken up */
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
byte sender = NOBODY;                   /* whose the late line is, while that process lives */
byte how[NC], shSt[NC], shOp[NC]; bool shEx[NC], shLeaf[NC];     /* the answer to controller c's line */
/* ---- journals */
byte rec[NC], rop[NC], rtag[NC], open[NC], tomb[NC], jid[NC], seenTok[NC], jboot[NC];    /* jboot: of the last inventory */
bool mine[NC], pubd[NC], quar[NC];      /* the create's intent is in this journal; ever published; a person must look */
byte oRec, oOp, oTag, oOpen, oTomb, oTok, oBoot; bool oMine, oPubd, copied;             /* yesterday's copy of journal 0 */
/* ---- leadership, processes */
byte lease; bool leads[NC], dies[NC], wipes[NC], reverts;
bool unsettled[NC];                     /* Device._unsettled: a line of this process may still act */
byte freshTok = 1, freshOp, freshJ = NC;
/* ---- the orchestrator */
byte ask[NC], reply, why; bool waits[NC];     /* why: what a person must look at */
byte held;                              /* operation id of the volume it was told of and wants; 0 none */
byte data;                              /* operation id of the file that a workload has written to */
bool sound, lost;                       /* the held volume's file is the one acknowledged; the appliance lost what was written */
bool due, undone;                       /* what was acknowledged last is not persistent yet; a power loss took such a thing back */
bool finished, helped;                  /* nothing more is wanted; a person was called */
byte tries;
byte loss = LOSS, crash = CRASH, jlost = JLOST, jold = JOLD, moves = MOVES, power = POWER, refuse = REFUSE,
     abandon = ABANDON, again = AGAIN, echo = ECHO;

#define HOLDS(condition, text) if :: (condition) -> skip :: else -> printf(text); assert(false) fi
#define fault(budget) budget--; tries = 0
#define ITEM(o) (st != NONE && op == (o))
/* A statement whose check passed before the token moved: it may still take effect (law 4, longest statement). */
#if NC > 1
#define UNDERWAY ((state[LATE] == RUN && checked[LATE] && tok[LATE] != token) || (state[1-c] == RUN && checked[1-c]))
#else
#define UNDERWAY (state[LATE] == RUN && checked[LATE] && tok[LATE] != token)
#endif

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
  HOLDS(held == 0 || op != held || !has(files, op), "BROKEN KEEP: the item of an acknowledged volume is removed\n");
  st = NONE; op = 0; ex = false }
inline dropFile(o) {
  printf("appliance: the file of create %d is removed\n", o);
  HOLDS(held == 0 || o != held || !sound, "BROKEN KEEP: the file of an acknowledged volume is removed\n");
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
       if :: FILES_KEPT -> due = false :: else fi; printf("appliance: flushes its configuration\n") }
  :: d_step { !FILES_KEPT -> keptFiles = files; if :: CONFIG_KEPT -> due = false :: else fi; printf("appliance: flushes its files\n") }
  :: d_step { power > 0 -> fault(power); boot++; undone = undone || due; due = false;
       st = keptSt; op = keptOp; ex = keptEx; mark = keptMark; markJ = keptJ;
#if FILES_BACK
       if :: data != 0 && !has(keptFiles, data) -> lost = true; data = 0 :: else fi;
       if :: held != 0 && !has(keptFiles, held) -> sound = false :: else fi;
       files = keptFiles;
#endif
       printf("appliance: power loss; item: tag %d of create %d, exported %d; files %d; token %d\n", st, op, ex, files, mark);
       if :: power == 0 -> keptSt = 0; keptOp = 0; keptEx = 0; keptMark = 0; keptJ = 0; keptFiles = 0 :: else fi;
       if :: state[0] == RUN -> over(0, LOST) :: else fi;
#if NC > 1
       if :: state[1] == RUN -> over(1, LOST) :: else fi;
#endif
       wipe(LATE); state[LATE] = 0; sender = NOBODY; unsettled[0] = false;
#if NC > 1
       unsettled[1] = false
#endif
  }
#endif
  od }

/* ================================================================== a controller */

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
  byte token, seenBoot, t, r, s, o, f, ans;     /* t: the call; r: how a look or line ended; s, o, x, f, leaf: what it showed */
  byte k, w, v, e, n;                           /* the line to send: kind, old and new tag; the create to erase, attempts */
  bool x, leaf, whole;                          /* whole: the inventory is done */
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
  :: atomic { reply == 0 && lease != k -> ask[k] = 0; waits[k] = false; reply = MAYBE; tries = (tries > 0 -> tries - 1 : 0) }   /* turns to the other one */
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
          :: reply == OK -> tries = 0; break
          :: reply == FINAL -> tries = 0; goto next
          :: reply == HELP -> goto out
          :: reply == MAYBE -> skip
          fi }
       od;
#if ECHO
       do
       :: echo == 0 -> break
       :: echo > 0 -> call(CREATE);                          /* asks once more for what it has been told of */
          atomic { if
          :: reply == OK -> tries = 0; echo = 0
          :: reply == FINAL -> HOLDS(undone, "BROKEN THERE: what was acknowledged is refused\n"); goto out
          :: reply == HELP -> goto out
          :: reply == MAYBE -> skip
          fi }
       od;
#endif
#if PUBS
       do
       :: call(PUBLISH);
          atomic { if
          :: reply == OK -> tries = 0; sound = has(files, held);
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
          atomic { if :: reply == OK -> tries = 0; printf("orchestrator: keeps it after all\n"); goto out
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
       oMine = mine[0]; oPubd = pubd[0]; oTok = seenTok[0]; oBoot = jboot[0]; printf("journal 0 is copied\n") }
#endif
  od }

#if NC > 1
#define QUARANTINED (quar[0] || quar[1])
#else
#define QUARANTINED quar[0]
#endif
/* Nothing moves any more. */
active proctype Monitor() {
  timeout -> atomic {
    HOLDS(finished, "BROKEN SETTLE: a call is never answered\n");
    if
    :: helped || (undone && UNFLUSHED_OK) -> skip
    :: !(helped || (undone && UNFLUSHED_OK)) && held != 0 -> HOLDS((!has(files, held) && QUARANTINED) || (st >= READY && st < DELETING && op == held && has(files, held)), "BROKEN THERE: an acknowledged volume is not there\n")
    :: !(helped || (undone && UNFLUSHED_OK)) && held == 0 -> HOLDS((st == NONE || ((PERSON_OK & TAKEN) && !has(files, op)) || ((PERSON_OK & ORPHAN) && st == CREATING)) &&
                       (files == 0 || (PERSON_OK & STRAY) != 0), "BROKEN GONE: something is left\n")
    fi } }

init { atomic {
  jid[0] = 1; run Controller(0);
#if NC > 1
  jid[1] = 2; run Controller(1);
#endif
} }
