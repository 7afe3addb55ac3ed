/* Finds the parameters of a model in a folder, so that they need not be named. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base/error.h"

/* What is searched, and the best file so far. */
typedef struct search {
    const hb_model *model;
    const char *chat, *system;
    void (*skipped)(void *user, const hb_error *why); /* may be NULL */
    void *user;
    char sha256[65]; /* the model's; empty until it is needed */
    char *path;      /* NULL: none yet */
    char created[32];
    bool same_chat;
} search;

/* Whether a monitor measures a score: it belongs to a signal or to a probe of the parameters. */
static bool measures(const hb_params *p, const char *score)
{
    hb_score_id id;
    for (size_t i = 0; i < p->n_probes; i++)
        if (strcmp(score, hb_probe_name(p->probes[i])) == 0) return true;
    return hb_score_find(score, &id);
}

/* Whether a monitor can use the parameters: it measures every score that they need. */
static bool is_measured(const hb_params *p)
{
    for (size_t i = 0; i < p->joint.n_features; i++)
        if (!measures(p, p->joint.features[i].score)) return false;
    return p->joint.n_features || measures(p, p->score);
}

/* Whether the parameters are of the model. Its file is hashed once, and only if name, architecture and
 * size agree. */
static hb_status is_of_model(search *s, const hb_params *p, bool *is, hb_error *err)
{
    hb_status status = HB_OK;
    *is = hb_params_same_model(p, hb_model_get_info(s->model));
    if (!*is) return HB_OK;
    if (!*s->sha256) status = hb_model_sha256(s->model, s->sha256, err);
    *is = !status && strcmp(s->sha256, p->model_sha256) == 0;
    return status;
}

/* Whether the file is better than the best one so far: its chat fits, else it is newer, else its name
 * is later. */
static bool is_better(const search *s, const hb_params *p, bool same_chat, const char *path)
{
    if (!s->path || same_chat != s->same_chat) return !s->path || same_chat;
    int order = strcmp(p->created, s->created);
    return order > 0 || (order == 0 && strcmp(path, s->path) > 0);
}

/* Looks at one file, which becomes s->path if it is better. */
static hb_status look_at(search *s, const char *path, hb_error *err)
{
    hb_params *p;
    hb_error why;
    bool of_model;
    hb_status status = hb_params_load(path, &p, &why);
    if (status == HB_ERR_MEMORY) return hb_fail_memory(err);
    if (status && s->skipped) s->skipped(s->user, &why);
    if (status) return HB_OK;
    status = is_of_model(s, p, &of_model, err);
    bool same_chat = hb_params_same_chat(p, s->chat, s->system);
    if (!status && of_model && is_measured(p) && is_better(s, p, same_chat, path)) {
        char *copy = strdup(path);
        if (!copy) status = hb_fail_memory(err);
        else {
            free(s->path);
            s->path = copy;
            s->same_chat = same_chat;
            memcpy(s->created, p->created, sizeof s->created);
        }
    }
    hb_params_free(p);
    return status;
}

/* Whether a name can be that of a parameters file. Names that begin with a dot are of unfinished ones.
 */
static bool is_candidate(const char *name)
{
    size_t n = strlen(name);
    return *name != '.' && n > strlen(".json") && strcmp(name + n - strlen(".json"), ".json") == 0;
}

static hb_status look_through(search *s, const char *dir, DIR *folder, hb_error *err)
{
    const struct dirent *entry;
    hb_status status = HB_OK;
    while (!status && (entry = readdir(folder)) != NULL) {
        struct stat info;
        char *path;
        if (!is_candidate(entry->d_name)) continue;
        if (asprintf(&path, "%s/%s", dir, entry->d_name) < 0) return hb_fail_memory(err);
        if (stat(path, &info) == 0 && S_ISREG(info.st_mode)) status = look_at(s, path, err);
        free(path);
    }
    return status;
}

hb_status hb_params_find(const char *dir, const hb_model *model, const char *chat, const char *system,
                         void (*skipped)(void *user, const hb_error *why), void *user, char **path,
                         hb_error *err)
{
    search s = {.model = model, .chat = chat, .system = system, .skipped = skipped, .user = user};
    DIR *folder = opendir(dir);
    if (!folder && (errno == ENOENT || errno == ENOTDIR)) {
        *path = NULL;
        return HB_OK;
    }
    if (!folder) return hb_fail(err, HB_ERR_IO, "%s: %s", dir, strerror(errno));
    hb_status status = look_through(&s, dir, folder, err);
    closedir(folder);
    if (status) free(s.path);
    else *path = s.path;
    return status;
}
