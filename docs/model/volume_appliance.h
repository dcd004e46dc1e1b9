/* The appliance of volume.pml: its lines (routeros/lines.py), flushes, power losses. */

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
