#include "team/team.h"

#include <stdlib.h>

/* Whether a launcher started this process: mpirun, or srun with PMIx or PMI-2. MPI is not started in
 * any other process, because that takes time and can fail where MPI is not set up. */
#ifdef HB_HAVE_MPI
static bool is_launched(void)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (getenv(names[i])) return true;
    return false;
}
#endif

hb_status hb_team_open(hb_team **team, hb_error *err)
{
    *team = NULL;
#ifdef HB_HAVE_MPI
    if (is_launched()) return hb_team_open_mpi(team, err);
#endif
    (void)err;
    return HB_OK;
}

int32_t hb_team_rank(const hb_team *team)
{
    return team ? team->rank : HB_LEADER;
}

int32_t hb_team_size(const hb_team *team)
{
    return team ? team->size : 1;
}

int32_t hb_team_local_size(const hb_team *team)
{
    return team ? team->n_local : 1;
}

const char *hb_team_host(const hb_team *team)
{
    return team ? team->host : "";
}

void hb_team_close(hb_team *team)
{
    if (team) team->ops->close(team);
}

void hb_team_abort(hb_team *team, int code)
{
    if (team) team->ops->abort(team, code);
}
