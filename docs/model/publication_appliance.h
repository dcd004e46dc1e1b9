/* The appliance of publication.pml: lines.publish and lines.unpublish, flushes, power losses. */

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
  :: d_step { !KEPT -> keptTag = tag; keptEx = ex; keptNqn = nqn; keptMark = mark; keptJ = markJ; cutAt[0] = false;
#if NC > 1
       cutAt[1] = false;
#endif
       printf("appliance: flushes\n") }
  :: d_step { power > 0 -> fault(power); boot++;
       if :: UNFLUSHED_OK && keptTag != tag -> undone = true :: else fi;
       tag = keptTag; ex = keptEx; nqn = keptNqn; mark = keptMark; markJ = keptJ;
       printf("appliance: power loss; tag: epoch %d, in %d; exported %d, epoch %d; token %d\n", EP(tag), PUB(tag), ex, nqn, mark);
       if :: power == 0 -> keptTag = 0; keptEx = 0; keptNqn = 0; keptMark = 0; keptJ = 0 :: else fi;
       live[0] = false; live[1] = false;
#if N == 3
       live[2] = false;
#endif
       if :: state[0] == RUN -> over(0, LOST) :: else fi; unsettled[0] = false; cutAt[0] = false;
#if NC > 1
       if :: state[1] == RUN -> over(1, LOST) :: else fi; unsettled[1] = false; cutAt[1] = false;
#endif
       wipe(LATE); state[LATE] = 0; sender = NOBODY }
#endif
  od }
