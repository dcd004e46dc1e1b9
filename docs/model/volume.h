/* Bounds and ingredients of volume.pml. */

/* --- bounds: how much goes wrong; run.py sets them */
#ifndef NC
#define NC 1            /* controllers, each with a journal of its own */
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
#define POWER 0         /* the appliance loses what it has not flushed, and all that runs */
#endif
#ifndef FILES_BACK
#define FILES_BACK 0    /* 1: a power loss takes back files, too */
#endif
#ifndef REFUSE
#define REFUSE 0        /* statements of a create that the appliance refuses */
#endif
#ifndef ABANDON
#define ABANDON 0       /* times that a controller loses patience with an open create */
#endif
#ifndef AGAIN
#define AGAIN 0         /* times that the orchestrator creates again while a delete is open */
#endif
#ifndef ECHO
#define ECHO 0          /* 1: the orchestrator asks once more for a volume that it was told of */
#endif
#ifndef PUBS
#define PUBS 0          /* 1: volumes are published and unpublished before they are deleted */
#endif
#ifndef ROUNDS
#define ROUNDS 2        /* lives of the volume */
#endif
#ifndef GAP
#define GAP 1           /* between a check and its statement another line may run */
#endif
#ifndef PERSON_OK
#define PERSON_OK 0     /* for what a person may be called, and what may be left for one to see: STRAY 1, ORPHAN 2, TAKEN 4 */
#endif
#ifndef UNFLUSHED_OK
#define UNFLUSHED_OK 0  /* 1: THERE and GONE do not count once a power loss took back what was just acknowledged */
#endif
#ifndef K
#define K 5             /* answers "maybe" in a row, without a fault between, that count as for ever */
#endif

/* --- ingredients of the laws: 1 as they say, 0 dropped */
#ifndef TOKEN
#define TOKEN 1         /* law 4: each statement checks the token */
#endif
#ifndef WINDOW
#define WINDOW 1        /* law 4: ... and that the appliance has not rebooted since the line was rendered */
#endif
#ifndef EXPIRY
#define EXPIRY 1        /* law 4: ... and that the line has not expired */
#endif
#ifndef TAG
#define TAG 1           /* law 4: ... and the object's tag, as a whole */
#endif
#ifndef WAIT
#define WAIT 1          /* law 4: after an unknown outcome, and after a take-over, nothing is sent too early */
#endif
#ifndef TOMB
#define TOMB 1          /* law 13: deletes leave tombstones */
#endif
#ifndef OWN
#define OWN 1           /* law 5: a create is undone only by the journal that recorded it */
#endif
#ifndef ASIDE_NEWER
#define ASIDE_NEWER 1   /* law 5: a journal is set aside only for a marker with a higher counter */
#endif
#ifndef FELL
#define FELL 1          /* law 5: what a record says is made again only when the uptime fell since its last inventory */
#endif
#ifndef NO_FILE
#define NO_FILE 1       /* law 13: an item without file and without record is quarantined, not learned */
#endif
#ifndef FILE_SEEN
#define FILE_SEEN 1     /* law 13: an item whose file is gone is no volume: made again if never published, else quarantined */
#endif
#ifndef LEAF_GONE
#define LEAF_GONE 1     /* law 7: delete proves the file gone, too, also without a record */
#endif
#ifndef SLOT_GONE
#define SLOT_GONE 1     /* law 7: ... and that the slot holds nothing of ours */
#endif
#ifndef CONFIRM_OPEN
#define CONFIRM_OPEN 1  /* law 2: a create is not confirmed while a delete is open */
#endif

/* --- ingredients that the laws do not name yet; see findings.md */
#ifndef BELIEVE
#define BELIEVE 1       /* no presence is believed, either, while a line of our own may still remove it */
#endif
#ifndef UNDO_READY
#define UNDO_READY 1    /* a create whose volume is ready is finished, never undone */
#endif
#ifndef RESUME_UNDO
#define RESUME_UNDO 1   /* a create that finds its own item tagged deleting goes on with the undo */
#endif
#ifndef FINISH_DELETE
#define FINISH_DELETE 1 /* a deleting tag that no journal knows is a decision made: whoever finds it goes on */
#endif
#ifndef KIN
#define KIN 1           /* a slot taken by another create of ours is no stranger's: "maybe" and a person, not a final answer */
#endif
#ifndef BOUND
#define BOUND 1         /* law 13: an operation that began before a reboot sends nothing after it, whoever saw the reboot first */
#endif
#ifndef CUT_FIRST
#define CUT_FIRST 1     /* what is to be erased and came back exported is cut off first */
#endif
#ifndef ACK_KEPT
#define ACK_KEPT 0      /* 1: create and delete are acknowledged only when persistent */
#endif
