/* Bounds and ingredients of publication.pml. */

/* --- the world; run.py sets the bounds */
#ifndef NC
#define NC 1            /* controllers, each with a journal of its own */
#endif
#ifndef N
#define N 2             /* nodes, 2 or 3 */
#endif
#ifndef PAIR
#define PAIR 0          /* 1: two nodes may have the volume at once (KubeVirt live migration, raw block) */
#endif
#ifndef STEPS
#define STEPS 5         /* what the orchestrator does: attach, detach, ask again; a handover takes 4 */
#endif
#ifndef LOSS
#define LOSS 0          /* replies lost; the line goes on, as long as it likes, and may stop anywhere */
#endif
#ifndef CRASH
#define CRASH 0         /* the leading process dies and starts again */
#endif
#ifndef JLOST
#define JLOST 0         /* ... and its journal is gone */
#endif
#ifndef JOLD
#define JOLD 0          /* ... and an earlier copy of its journal is put in place */
#endif
#ifndef MOVES
#define MOVES 0         /* the Lease goes to the other controller */
#endif
#ifndef POWER
#define POWER 0         /* the appliance loses what it has not flushed, all that runs, and all connections */
#endif
#ifndef ZOMBIES
#define ZOMBIES 1       /* nodes whose kubelet is gone while their storage network lives: they write and reconnect for ever */
#endif
#ifndef FORCE
#define FORCE 1         /* the orchestrator detaches a lost node without its unstage */
#endif
#ifndef BLOCK
#define BLOCK 0         /* 1: the volume may be published as a raw block device, too */
#endif
#ifndef SHOWN
#define SHOWN 1         /* the appliance shows a filesystem in the volume (DiskItem.fs) */
#endif
#ifndef CUTS
#define CUTS 1          /* export-off ends live I/O: the assumption with a probe */
#endif
#ifndef PROVEN
#define PROVEN CUTS     /* what the driver is told of that */
#endif
#ifndef GAP
#define GAP 1           /* between a check and its statement another line may run */
#endif
#ifndef UNFLUSHED_OK
#define UNFLUSHED_OK 0  /* 1: CUT and SAME do not count once a power loss took back a publish just acknowledged (law 8, accepted) */
#endif
#ifndef PERSON_OK
#define PERSON_OK 0     /* 1: the run may end with a person being called */
#endif
#ifndef K
#define K 6             /* answers "maybe" in a row, without a fault between, that count as for ever */
#endif

/* --- ingredients of the laws: 1 as they say, 0 dropped */
#ifndef TOKEN
#define TOKEN 1         /* law 4: each statement checks the token */
#endif
#ifndef WINDOW
#define WINDOW 1        /* law 4: ... and that the appliance has not rebooted */
#endif
#ifndef EXPIRY
#define EXPIRY 1        /* law 4: ... and that the line has not expired */
#endif
#ifndef TAG
#define TAG 1           /* law 4: ... and the tag, as a whole */
#endif
#ifndef WAIT
#define WAIT 1          /* law 4: after an unknown outcome, and after a take-over, nothing is sent too early */
#endif
#ifndef FRESH
#define FRESH 1         /* law 8: each epoch has a new NQN */
#endif
#ifndef EMPTY_ONLY
#define EMPTY_ONLY 1    /* law 8: the epoch moves only when the set was empty */
#endif
#ifndef PERSIST
#define PERSIST 1       /* law 8: whoever is let in after others waits until the cut is persistent */
#endif
#ifndef CUT_KNOWN
#define CUT_KNOWN 1     /* ... also when the cut was a lost line's, a repair's or another controller's */
#endif
#ifndef EVIDENCE
#define EVIDENCE 1      /* law 8: what speaks against the promise of unstage is looked at, and marked in the tag */
#endif
#ifndef DIRTY
#define DIRTY 1         /* law 8: who leaves a pair stays dirty, past the emptying of the set */
#endif
#ifndef GENERATION
#define GENERATION 1    /* law 5: an open intent is taken up only at the generation it was written at */
#endif
#ifndef FELL
#define FELL 1          /* law 5: a record outranks an older tag only when the uptime fell since its last inventory */
#endif
#ifndef LOOK
#define LOOK 1          /* law 7: "it is not in" is answered from a look, not from memory */
#endif
#ifndef TAKE_BACK
#define TAKE_BACK 1     /* law 13: what was committed is restored after a power loss, before anything else */
#endif
#ifndef BOUND
#define BOUND 1         /* law 13: an operation that began before a reboot sends nothing after it, whoever saw the reboot first */
#endif
#ifndef PERMIT_BLANK
#define PERMIT_BLANK 1  /* law 6: a block publish, or a filesystem seen, ends the permit */
#endif
#ifndef ACK_BLOCK
#define ACK_BLOCK 0     /* 1: the publish that makes a volume "used" is acknowledged only when persistent */
#endif
