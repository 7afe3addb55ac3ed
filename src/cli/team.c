/* Commands that several processes run together, started by mpirun or srun. */
#include <stdio.h>
#include <unistd.h>
#include "base/pool.h"
#include "cli/cli.h"

int cli_team_open(hb_team **team)
{
    hb_error err;
    if (hb_team_open(team, &err)) return cli_fail(&err);
    if (hb_team_rank(*team) > 0) cli_speak_as(hb_team_rank(*team), hb_team_host(*team));
    return CLI_DONE;
}

int cli_team_close(hb_team *team, int code)
{
    if (!team) return code;
    if (code) {
        fflush(NULL);
        hb_team_abort(team, code);
    }
    hb_team_close(team);
    return code;
}

/* Whether the launcher gave this process processors of its own. */
static bool is_bound(void)
{
    return hb_allowed_processors() < sysconf(_SC_NPROCESSORS_ONLN);
}

int32_t cli_team_threads(const hb_team *team)
{
    int32_t n = hb_team_local_size(team);
    if (n == 1 || is_bound()) return 0;
    int32_t each = hb_usable_processors() / n;
    return each > 0 ? each : 1;
}
