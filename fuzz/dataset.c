/* The input is a data file: the first bytes choose how it is read. All samples are read twice, by the
 * whole file and drawn. */
#include "fuzz.h"

static void count(void *user, const char *message)
{
    require(!strchr(message, '\n'));
    ++*(size_t *)user;
}

static hb_dataset_options choose_options(choices *c, size_t *n)
{
    static const char *const paths[] = {NULL,   "prompt",     "a.b", "question|q",
                                        "c[0]", "choices[*]", "x.*"};
    static const char *const templates[] = {NULL, NULL, "Q: {prompt}", "{question} {{ {a.b}"};
    hb_dataset_options o = hb_dataset_defaults();
    o.format = choose_below(c, 4) ? NULL : hb_dataset_format(choose_below(c, 40));
    if (choose_below(c, 3) == 0) {
        o.prompt = paths[choose_below(c, 7)];
        o.answers = paths[choose_below(c, 7)];
        o.label = paths[choose_below(c, 7)];
        o.response = paths[choose_below(c, 7)];
        o.spans = paths[choose_below(c, 7)];
        o.group = paths[choose_below(c, 7)];
    }
    o.prompt_template = templates[choose_below(c, 4)];
    o.read_as = (hb_read_as)choose_below(c, 3);
    o.unlabelled = choose_below(c, 2);
    o.n_samples = choose_below(c, 4);
    o.shots = choose_below(c, 3);
    o.seed = choose(c);
    o.on_broken = o.on_warning = count;
    o.user = n;
    return o;
}

static uint64_t read_all(hb_dataset *dataset)
{
    hb_error err;
    hb_sample s;
    bool found = true;
    uint64_t n = 0;
    while (!hb_dataset_next(dataset, &s, &found, &err) && found) {
        require(s.id && s.prompt && strlen(s.prompt_sha256) == 64);
        n++;
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    choices c = {data, size};
    size_t n_reported = 0;
    const hb_dataset_options o = choose_options(&c, &n_reported);
    hb_error err;
    hb_dataset *dataset;
    if (hb_dataset_open(file_of(c.at, c.left), &o, &dataset, &err)) {
        require(err.message[0] && !strchr(err.message, '\n'));
        return 0;
    }
    const hb_dataset_info *info = hb_dataset_get_info(dataset);
    uint64_t n_selected = info->n_selected;
    require(n_selected <= info->n_samples && n_reported >= info->n_broken);
    require(read_all(dataset) == n_selected);
    hb_dataset_close(dataset);
    return 0;
}
