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
byte sighted[NC]; bool looked[NC];      /* Device._sighting: the boot whose uptime was read last; Backend.complete: inventory done */
#define seenBoot sighted[c]
#define whole looked[c]
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

#include "volume_appliance.h"
#include "volume_controller.h"

/* ---- the orchestrator */

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
#if POWER && !BOUND
  /* the answer to another volume's line shows the reboot: operations that run go on, others wait for the inventory */
  :: atomic { leads[0] && sighted[0] != boot -> sighted[0] = boot; looked[0] = false; printf("controller 0: another volume's answer shows the reboot\n") }
#if NC > 1
  :: atomic { leads[1] && sighted[1] != boot -> sighted[1] = boot; looked[1] = false; printf("controller 1: another volume's answer shows the reboot\n") }
#endif
#endif
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
