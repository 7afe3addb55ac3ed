/* Pass 1 by a team of processes: the leader reads the dataset and alone writes the run (leader.c), and
 * its members evaluate (member.c). The leader's process has a member, too, in a thread of its own. */
#ifndef HB_SCORE_TEAM_H
#define HB_SCORE_TEAM_H

#include "score/ledger.h"
#include "team/team.h"

/* hb_score for the leader. *work becomes the work of all members. */
hb_status hb_score_lead(hb_team *team, hb_session *session, hb_ledger *ledger, hb_score_work *work,
                        hb_error *err);

#endif
