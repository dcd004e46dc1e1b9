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
bool cutAt[NC];                         /* Publications._cut_at or _started, as CUT_KNOWN=0 has it: later than the last flush, and than the last boot */
/* ---- journals: the committed tag, the open intent (kind, node, raw) and the generation it was written at */
int rec[NC]; byte open[NC], node[NC], ogen[NC], jid[NC], seenTok[NC], jboot[NC]; bool oraw[NC], quar[NC], blankJ[NC];
int oRec; byte oOpen, oNode, oGen, oTok, oBoot; bool oRaw, copied;
byte lease; bool leads[NC], dies[NC], wipes[NC], reverts;
byte sighted[NC]; bool looked[NC];      /* Device._sighting: the boot whose uptime was read last; Backend.complete: inventory done */
#define seenBoot sighted[c]
#define whole looked[c]
byte freshTok = 1, freshEp, freshJ = NC;
/* ---- the orchestrator and the nodes */
byte ask[NC], askN[NC], reply; bool askRaw[NC], waits[NC];
byte att[N], ctx[N], hold[N]; bool raw[N], permit[N], live[N];  /* 0 out, 1 asked for, 2 in, 3 leaving; context; what it connects to */
byte zombie, fenced;                    /* nodes out of control; ghost: nodes that must not write */
bool fs, rawData, finished, helped, undone;    /* data in the volume; nothing more is wanted; ... */
byte told;                              /* ghost: the epoch that a node was told of last */
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

#include "publication_appliance.h"
#include "publication_controller.h"

/* ---- the orchestrator */

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
       if :: LEGIT(n_) && raw[n_] -> rawData = BLOCK :: LEGIT(n_) && !raw[n_] -> fs = fs || permit[n_] :: else fi
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
#if POWER && !BOUND
  /* the answer to another volume's line shows the reboot: operations that run go on, others wait for the inventory */
  :: atomic { leads[0] && sighted[0] != boot -> sighted[0] = boot; looked[0] = false; printf("controller 0: another volume's answer shows the reboot\n") }
#if NC > 1
  :: atomic { leads[1] && sighted[1] != boot -> sighted[1] = boot; looked[1] = false; printf("controller 1: another volume's answer shows the reboot\n") }
#endif
#endif
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
